import { ANY_ARGS, command } from "../command.ts";
import { complete } from "../completion/complete.ts";
import { EngineNames } from "../completion/names.ts";
import type { EndpointSource } from "../contexts/endpoint.ts";
import { parseFlags } from "../flags.ts";
import { GLOBAL_FLAGS } from "../global-flags.ts";

/** The engine that the words themselves name, as far as they are written. */
function sourceOf(source: EndpointSource, words: readonly string[]): EndpointSource {
  try {
    const { values, changed } = parseFlags(GLOBAL_FLAGS, words, false);
    return changed.size > 0 ? { ...source, flags: values, changed } : source;
  } catch {
    // a flag that is not finished
    return source;
  }
}

/** What the scripts of `completion` ask; the last argument is the word under the cursor. */
export const completeWords = command({
  use: "[WORD...]",
  short: "Print what may follow the words",
  isHidden: true,
  isInterspersed: false,
  hasRawArgs: true,
  args: ANY_ARGS,
  flags: {},
  run: async (ctx, words) => {
    const names = new EngineNames(sourceOf(ctx.endpointSource, words.slice(0, -1)));
    try {
      const found = await complete({ words, globals: GLOBAL_FLAGS, names, isDocker: ctx.name === "docker" });
      for (const [word, text] of found.words) ctx.out(text === "" ? word : `${word}\t${text}`);
      if (found.hasFiles) ctx.out(":files");
    } finally {
      names.close();
    }
  },
});
