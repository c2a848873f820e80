import { treeUsage } from "../../files/mod.ts";
import { copyDirectory, copyUp } from "../../volumes/mod.ts";
import { encodeError, FRAME, type HelperEnd, runHelper } from "../aside/mod.ts";
import { packHere, unpackHere, type VolumeWork } from "./volume-files.ts";

const NEVER = new AbortController().signal;
/** How often the daemon is told how far a copy is. */
const COUNT_MS = 100;

/** The volume helper: does one piece of work on the files of volumes and ends. */
export function runVolumeHelper(argv: readonly string[]): Promise<number> {
  return runHelper(argv, serve);
}

async function serve(daemon: HelperEnd): Promise<void> {
  const work = (await daemon.message()) as VolumeWork;
  switch (work.kind) {
    case "usage":
      return daemon.send(FRAME.count, (await treeUsage(work.path)).sizeBytes);
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
      await counted(daemon, (onBytes) => copyUp(work.rootfs, work.destination, work.to, { onBytes }));
      return;
    default: {
      const _: never = work;
      return _;
    }
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
