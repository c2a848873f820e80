import { readFile, writeFile } from "node:fs/promises";
import { DhowError, errnoCode, errorMessage } from "../../lib/mod.ts";
import { errnoNumber, strerror } from "../../linux/mod.ts";

/** A value for a cgroup file. */
export interface LimitWrite {
  readonly file: string;
  readonly value: string | number | undefined;
}

/** What the file shows now, in the form that it takes. */
async function present(file: string): Promise<string> {
  const text = await readFile(file, "utf8");
  // an empty set of processors is written as an empty line
  return text.trimEnd() === "" ? "\n" : text.trimEnd();
}

/**
 * Writes limits in this order, off the main thread: the kernel may have to reclaim memory for one. All of them or none: when the kernel
 * refuses one, those before it get their former values back. Those without a value are left out.
 * @throws internal in the words of docker's runtime
 */
export async function writeLimits(writes: readonly LimitWrite[]): Promise<void> {
  const done: { readonly file: string; readonly value: string }[] = [];
  for (const { file, value } of writes) {
    if (value === undefined) continue;
    try {
      const former = await present(file);
      await writeFile(file, String(value), { flag: "r+" });
      done.unshift({ file, value: former });
    } catch (cause) {
      for (const { file, value } of done) await writeFile(file, value, { flag: "r+" }).catch(() => undefined);
      const code = errnoCode(cause);
      const reason = code === undefined ? errorMessage(cause) : strerror(errnoNumber(code));
      throw new DhowError("internal", `failed to write ${JSON.stringify(String(value))}: write ${file}: ${reason}`, { cause });
    }
  }
}
