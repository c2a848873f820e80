import { DhowError } from "../../../lib/mod.ts";
import { setParentDeathSignal } from "../../../linux/mod.ts";
import { workHere } from "./file-work.ts";
import { ByteReader, encodeError, FRAME, frameHead, type Work } from "./helper-frames.ts";
import { openView, type ViewPlan } from "./open-view.ts";

/** Where the helper finds the root file system. */
export const ROOT_FD = 3;

const SIGKILL = 9;
const NEVER = new AbortController().signal;

/**
 * The file helper: does one piece of work on the files of one container and ends. The process itself is what makes it interruptible:
 * whoever waits for a file system that doesn't answer can be killed, a thread of the daemon could not. The argument is the daemon's pid.
 */
export async function runFileHelper([daemonPid]: readonly string[]): Promise<number> {
  setParentDeathSignal(SIGKILL);
  // killed before it could be told
  if (process.ppid !== Number(daemonPid)) return 1;
  try {
    await serve(new ByteReader(Bun.stdin.stream()));
    return 0;
  } catch (error) {
    send(FRAME.failed, encodeError(error));
    return 1;
  } finally {
    await output.end();
  }
}

async function serve(input: ByteReader): Promise<void> {
  const plan = (await message(input)) as ViewPlan;
  using opened = await openView(plan, ROOT_FD);
  using work = workHere(opened, plan.container, NEVER);
  send(FRAME.opened, {});
  await output.flush();
  const asked = (await message(input)) as Work;
  switch (asked.kind) {
    case "stat":
      send(FRAME.stat, await work.stat(asked.path));
      return;
    case "pack": {
      const { stat, archive } = await work.pack(asked.path, (file, error) => send(FRAME.fault, { file, error: encodeError(error) }));
      send(FRAME.stat, stat);
      for await (const chunk of archive) {
        output.write(frameHead(FRAME.bytes, chunk.length));
        output.write(chunk);
        await output.flush();
      }
      send(FRAME.done, {});
      return;
    }
    case "unpack":
      await work.unpack(asked.job, input.remaining());
      send(FRAME.done, {});
      return;
    default: {
      const _: never = asked;
      return _;
    }
  }
}

const output = Bun.stdout.writer();

function send(kind: number, value: unknown): void {
  const json = Buffer.from(JSON.stringify(value));
  output.write(frameHead(kind, json.length));
  output.write(json);
}

async function message(input: ByteReader): Promise<unknown> {
  const head = await input.exactly(4);
  const json = head && (await input.exactly(head.readUInt32LE(0)));
  if (json === undefined) throw new DhowError("internal", "the daemon has said nothing");
  return JSON.parse(json.toString());
}
