import { familiarString, parseReference, withDefaultTag } from "../../../spec/reference.ts";
import { command, exactArgs } from "../../command.ts";
import { BOOLEAN, STRING } from "../../flag-kinds.ts";
import { showProgress } from "../../progress.ts";

export const pull = command({
  use: "[OPTIONS] NAME[:TAG|@DIGEST]",
  short: "Download an image from a registry",
  aliases: ["image pull", "pull"],
  args: exactArgs(1),
  flags: {
    "all-tags": { kind: BOOLEAN, short: "a", help: "Download all tagged images in the repository" },
    "disable-content-trust": { kind: BOOLEAN, initial: true, help: "Skip image verification (default true)" },
    platform: { kind: STRING, help: "Set platform if server is multi-platform capable" },
    quiet: { kind: BOOLEAN, short: "q", help: "Suppress verbose output" },
  },
  run: async (ctx, [name = ""], flags) => {
    const reference = parseReference(name);
    if (flags["all-tags"] && (reference.tag !== null || reference.digest !== null)) {
      throw new Error("tag can't be used with --all-tags/-a");
    }
    const tagged = flags["all-tags"] ? reference : withDefaultTag(reference);
    if (!flags["all-tags"] && !flags.quiet && reference.tag === null && reference.digest === null) {
      ctx.out(`Using default tag: ${tagged.tag}`);
    }
    const full = familiarString(tagged);
    const messages = await ctx.api.transfer.pull(full, { platform: flags.platform || undefined });
    await showProgress(flags.quiet ? undefined : ctx.stdout, messages);
    ctx.out(
      `${reference.domain}/${reference.path}${tagged.tag === null ? "" : `:${tagged.tag}`}${tagged.digest === null ? "" : `@${tagged.digest}`}`,
    );
  },
});
