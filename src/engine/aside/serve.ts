import { DhowError } from "../../lib/mod.ts";
import { setParentDeathSignal } from "../../linux/mod.ts";
import { ByteReader, encodeError, FRAME, frameHead } from "./frames.ts";

const SIGKILL = 9;

/** The helper's side of what is said. */
export interface HelperEnd {
  /** What the daemon asks for next. */
  message(): Promise<unknown>;
  /** The rest of what comes from the daemon: an archive. */
  remaining(): AsyncIterable<Uint8Array>;
  send(kind: number, value: unknown): void;
  sendArchive(chunks: AsyncIterable<Uint8Array>): Promise<void>;
  flush(): Promise<void>;
}

/**
 * The life of a helper: does what `serve` does and ends, with the daemon at the latest. The process itself is what makes it interruptible:
 * whoever waits for a file system that doesn't answer can be killed, a thread of the daemon could not. The argument is the daemon's pid.
 */
export async function runHelper([daemonPid]: readonly string[], serve: (end: HelperEnd) => Promise<void>): Promise<number> {
  setParentDeathSignal(SIGKILL);
  // killed before it could be told
  if (process.ppid !== Number(daemonPid)) return 1;
  const input = new ByteReader(Bun.stdin.stream());
  const output = Bun.stdout.writer();
  const send = (kind: number, value: unknown): void => {
    const json = Buffer.from(JSON.stringify(value));
    output.write(frameHead(kind, json.length));
    output.write(json);
  };
  const end: HelperEnd = {
    message: () => messageOf(input),
    remaining: () => input.remaining(),
    send,
    sendArchive: async (chunks) => {
      for await (const chunk of chunks) {
        output.write(frameHead(FRAME.bytes, chunk.length));
        output.write(chunk);
        await output.flush();
      }
      send(FRAME.done, {});
    },
    flush: async () => void (await output.flush()),
  };
  try {
    await serve(end);
    return 0;
  } catch (error) {
    send(FRAME.failed, encodeError(error));
    return 1;
  } finally {
    await output.end();
  }
}

async function messageOf(input: ByteReader): Promise<unknown> {
  const head = await input.exactly(4);
  const json = head && (await input.exactly(head.readUInt32LE(0)));
  if (json === undefined) throw new DhowError("internal", "the daemon has said nothing");
  return JSON.parse(json.toString());
}
