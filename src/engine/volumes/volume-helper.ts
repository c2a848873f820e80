import { treeUsage } from "../../files/mod.ts";
import { copyDirectory, copyUp } from "../../volumes/mod.ts";
import { encodeError, FRAME, type HelperEnd, runHelper } from "../aside/mod.ts";
import { packHere, unpackHere, type VolumeWork } from "./volume-files.ts";

const NEVER = new AbortController().signal;
/** How often the daemon is told how far a copy is. */
const COUNT_MS = 100;
/** How often it is told that a walk goes on. */
const BEAT_MS = 1000;

/** The volume helper: does one piece of work on the files of volumes and ends. */
export function runVolumeHelper(argv: readonly string[]): Promise<number> {
  return runHelper(argv, serve);
}

async function serve(daemon: HelperEnd): Promise<void> {
  const work = (await daemon.message()) as VolumeWork;
  switch (work.kind) {
    case "usage":
      return measured(daemon, work.path);
    case "pack":
      return daemon.sendArchive(packHere(work.path, NEVER, (file, error) => daemon.send(FRAME.fault, { file, error: encodeError(error) })));
    case "unpack":
      await unpackHere(daemon.remaining(), work.path, NEVER);
      return daemon.send(FRAME.done, {});
    case "copy":
      daemon.send(FRAME.count, (await treeUsage(work.from)).sizeBytes);
      await daemon.flush();
      await counted(daemon, (onBytes) => copyDirectory(work.from, work.to, { onBytes }));
      return;
    case "copyUp":
      await counted(daemon, (onBytes) => copyUp(work, { onBytes }));
      return;
    default: {
      const _: never = work;
      return _;
    }
  }
}

/** Says now and then that it goes on: where a file system doesn't answer, it is silent. */
async function measured(daemon: HelperEnd, path: string): Promise<void> {
  const beat = setInterval(() => {
    daemon.send(FRAME.count, 0);
    void daemon.flush();
  }, BEAT_MS);
  try {
    const { sizeBytes } = await treeUsage(path);
    daemon.send(FRAME.done, { sizeBytes });
  } finally {
    clearInterval(beat);
  }
}

async function counted(daemon: HelperEnd, copy: (onBytes: (bytes: number) => void) => Promise<void>): Promise<void> {
  let bytes = 0;
  let toldAt = performance.now();
  const tell = (): void => {
    daemon.send(FRAME.count, bytes);
    bytes = 0;
    toldAt = performance.now();
    void daemon.flush();
  };
  await copy((more) => {
    bytes += more;
    if (performance.now() - toldAt >= COUNT_MS) tell();
  });
  tell();
  daemon.send(FRAME.done, {});
}
