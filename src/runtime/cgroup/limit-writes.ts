import { readFile, writeFile } from "node:fs/promises";
import { DhowError, errnoCode, errorMessage } from "../../lib/mod.ts";
import { errnoNumber, strerror } from "../../linux/mod.ts";

/** A value for a cgroup file. */
export interface LimitWrite {
  readonly file: string;
  readonly value: string | number | undefined;
  /** Of a file with a line for each device: what to write to have the former line again, of the file's text. */
  readonly former?: ((text: string) => string) | undefined;
}

/** What the file shows now, in the form that it takes. */
async function present({ file, former }: LimitWrite): Promise<string> {
  const text = await readFile(file, "utf8");
  if (former !== undefined) return former(text);
  // an empty set of processors is written as an empty line
  return text.trimEnd() === "" ? "\n" : text.trimEnd();
}

/** Writes for one device each: `8:0 1048576`, and without a limit as `none` says it. */
export function deviceWrites(
  file: string,
  devices: readonly { readonly major: number; readonly minor: number; readonly text: string }[] | undefined,
  none: string,
): LimitWrite[] {
  return (devices ?? []).map(({ major, minor, text }) => {
    const device = `${major}:${minor} `;
    const former = (lines: string): string => lines.split("\n").find((line) => line.startsWith(device)) ?? device + none;
    return { file, value: device + text, former };
  });
}

/**
 * Writes limits in this order, off the main thread: the kernel may have to reclaim memory for one. All of them or none: when the kernel
 * refuses one, those before it get their former values back. Those without a value are left out.
 * @throws internal in the words of docker's runtime
 */
export async function writeLimits(writes: readonly LimitWrite[]): Promise<void> {
  const done: { readonly file: string; readonly value: string }[] = [];
  for (const limit of writes) {
    const { file, value } = limit;
    if (value === undefined) continue;
    try {
      const former = await present(limit);
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
