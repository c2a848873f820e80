import { familiarName, parseReference, withDefaultTag } from "../../../spec/reference.ts";
import { command, exactArgs } from "../../command.ts";

function parsed(text: string): ReturnType<typeof parseReference> {
  try {
    return parseReference(text);
  } catch (error) {
    throw new Error(`Error parsing reference: ${JSON.stringify(text)} is not a valid repository/tag: ${(error as Error).message}`);
  }
}

export const tag = command({
  use: "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
  short: "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
  aliases: ["image tag", "tag"],
  args: exactArgs(2),
  flags: {},
  run: async (ctx, [source = "", target = ""]) => {
    if (!/^[0-9a-f]{64}$/.test(source)) parsed(source);
    const reference = parsed(target);
    if (reference.digest !== null) throw new Error("refusing to create a tag with a digest reference");
    await ctx.api.images.tag(source, { repo: familiarName(reference), tag: withDefaultTag(reference).tag ?? "latest" });
  },
});
