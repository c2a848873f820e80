import { familiarName, parseReference, withDefaultTag } from "../../../spec/reference.ts";
import { command } from "../../command.ts";
import { BOOLEAN, LIST, STRING } from "../../flag-kinds.ts";

/** What the image is to be called, with `latest` where there is no tag. */
function imageName(text: string): { readonly repo: string; readonly tag: string } {
  if (text === "") return { repo: "", tag: "" };
  const reference = parseReference(text);
  if (reference.digest !== null) throw new Error("refusing to create a tag with a digest reference");
  return { repo: familiarName(reference), tag: withDefaultTag(reference).tag ?? "" };
}

export const commit = command({
  use: "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
  short: "Create a new image from a container's changes",
  aliases: ["container commit", "commit"],
  args: { min: 1, max: 2 },
  isInterspersed: false,
  flags: {
    author: { kind: STRING, short: "a", help: 'Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")' },
    change: { kind: LIST, short: "c", help: "Apply Dockerfile instruction to the created image" },
    message: { kind: STRING, short: "m", help: "Commit message" },
    "no-pause": { kind: BOOLEAN, help: "Disable pausing container during commit" },
    pause: { kind: BOOLEAN, short: "p", help: "Pause container during commit (default true)", initial: true },
  },
  run: async (ctx, [ref = "", name = ""], { author, change, message, ...flags }, changed) => {
    if (changed.has("pause") && changed.has("no-pause"))
      throw new Error("conflicting options: --no-pause and --pause cannot be used together");
    const pause = flags.pause && !flags["no-pause"];
    const { Id } = await ctx.api.contents.commit(ref, { ...imageName(name), author, comment: message, pause, changes: change });
    ctx.out(Id);
  },
});
