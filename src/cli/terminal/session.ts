import type { AttachSession } from "../../spec/engine/mod.ts";
import type { Context } from "../context.ts";
import { DEFAULT_DETACH_KEYS, parseDetachKeys, pumpStdin } from "./stdin.ts";

const RESIZE_RETRIES = 5;
const RESIZE_RETRY_MS = 10;

export interface TerminalSize {
  readonly rows: number;
  readonly columns: number;
}

export interface SessionOptions {
  readonly tty: boolean;
  readonly stdin: boolean;
  /** Outputs that were not asked for are dropped. */
  readonly stdout?: boolean;
  readonly stderr?: boolean;
  readonly detachKeys?: string | undefined;
}

/** How a session ended. */
export type SessionEnd = "ended" | "detached";

/** The bytes of the keys that detach: the flag's or docker's own. What is no key sequence is the engine's to refuse. */
function detachKeysOf(flag: string | undefined): Uint8Array {
  return (flag ? parseDetachKeys(flag) : undefined) ?? DEFAULT_DETACH_KEYS;
}

/** Connects the process's own streams with a session until its output ends or the user detaches. */
export async function runSession(ctx: Context, session: AttachSession, options: SessionOptions): Promise<SessionEnd> {
  const pump = options.stdin ? await pumpStdin(session, { tty: options.tty, detachKeys: detachKeysOf(options.detachKeys) }) : undefined;
  try {
    const output = copyOutput(ctx, session, options);
    const detached = pump === undefined ? undefined : untilDetached(pump.ended);
    return await (detached === undefined ? output : Promise.race([output, detached]));
  } finally {
    pump?.stop();
    session.close();
  }
}

async function copyOutput(ctx: Context, session: AttachSession, { stdout = true, stderr = true }: SessionOptions): Promise<SessionEnd> {
  for await (const { stream, data } of session.output) {
    if (stream === "stdout" ? stdout : stderr) await (stream === "stdout" ? ctx.stdout : ctx.stderr).writeSoon(data);
  }
  return "ended";
}

/** Never resolves when stdin ends in another way. */
function untilDetached(ended: Promise<string>): Promise<SessionEnd> {
  return new Promise((resolve) => {
    const settle = (end: string) => {
      if (end === "detached") resolve("detached");
    };
    ended.then(settle, () => {});
  });
}

/** Keeps a container's terminal as big as ours; returns what ends that. Tries again while the container isn't quite there. */
export function followSize(ctx: Context, resize: (size: TerminalSize) => Promise<void>): () => void {
  const update = async () => {
    const { size } = ctx.stdout;
    if (size === undefined) return;
    for (let attempt = 0; attempt < RESIZE_RETRIES; attempt++) {
      try {
        await resize(size);
        return;
      } catch {
        await Bun.sleep(RESIZE_RETRY_MS * (attempt + 1));
      }
    }
  };
  const onResize = () => {
    update().catch(() => {});
  };
  onResize();
  process.on("SIGWINCH", onResize);
  return () => {
    process.off("SIGWINCH", onResize);
  };
}
