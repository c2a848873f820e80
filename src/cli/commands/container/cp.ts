import { splitPath } from "../../../files/mod.ts";
import type { PathStat } from "../../../spec/engine/mod.ts";
import { command, exactArgs } from "../../command.ts";
import type { Context } from "../../context.ts";
import { type CopyInfo, planCopy, rebaseName, splitArgument } from "../../copy/copy-plan.ts";
import { CopyProgress } from "../../copy/copy-progress.ts";
import { absolutePath } from "../../copy/go-path.ts";
import { checkOutputPath, unpackLocally } from "../../copy/local-destination.ts";
import { localArchive, localSource } from "../../copy/local-source.ts";
import { BOOLEAN } from "../../flag-kinds.ts";

/** Bits of Go's os.FileMode. */
const GO_DIR = 2 ** 31;
const GO_SYMLINK = 2 ** 27;
const GO_DEVICE = 2 ** 26;

const has = (stat: PathStat, bit: number): boolean => Math.floor(stat.mode / bit) % 2 === 1;

interface Copy {
  readonly container: string;
  readonly source: string;
  readonly destination: string;
  readonly followLink: boolean;
  readonly copyUidGid: boolean;
  readonly isQuiet: boolean;
  readonly signal: AbortSignal;
}

async function tryStat(ctx: Context, container: string, path: string): Promise<PathStat | undefined> {
  try {
    return await ctx.api.files.stat(container, path);
  } catch {
    // the copy itself says what is wrong
    return undefined;
  }
}

async function fromContainer(ctx: Context, copy: Copy): Promise<void> {
  const { container, signal } = copy;
  const destination = copy.destination === "-" ? "-" : absolutePath(copy.destination);
  checkOutputPath(destination);
  const followed = copy.followLink ? await tryStat(ctx, container, copy.source) : undefined;
  const isLink = followed !== undefined && has(followed, GO_SYMLINK);
  const source = isLink ? rebaseName(copy.source, followed.linkTarget) : { path: copy.source, rebaseName: "" };
  const { stat, archive } = await ctx.api.files.getArchive(container, source.path, { signal });
  if (destination === "-") {
    for await (const chunk of archive) await ctx.stdout.writeSoon(chunk);
    return;
  }
  const info: CopyInfo = { ...source, exists: true, isDir: has(stat, GO_DIR) };
  await shown(ctx, copy, "Copying from container - ", destination, (progress) =>
    unpackLocally(progress?.count(archive) ?? archive, info, destination, signal),
  );
}

/** What the path in the container is that something is copied to; a last link is followed, also to what doesn't exist. */
async function containerDestination(ctx: Context, container: string, path: string): Promise<CopyInfo> {
  let stat = await tryStat(ctx, container, path);
  let target = path;
  if (stat && has(stat, GO_SYMLINK)) {
    target = stat.linkTarget;
    stat = await tryStat(ctx, container, target);
  }
  if (stat && has(stat, GO_DEVICE)) {
    throw new Error(`destination "${container}:${path}" must be a directory or a regular file: got a device`);
  }
  return { path: target, exists: stat !== undefined, isDir: stat !== undefined && has(stat, GO_DIR), rebaseName: "" };
}

async function toContainer(ctx: Context, copy: Copy): Promise<void> {
  const { container, signal, copyUidGid } = copy;
  const path = copy.source === "-" ? "-" : absolutePath(copy.source);
  const destination = await containerDestination(ctx, container, copy.destination);
  const options = { noOverwriteDirNonDir: true, copyUidGid, signal };
  if (path === "-" && !destination.isDir) throw new Error(`destination "${container}:${copy.destination}" must be a directory`);
  const source = path === "-" ? undefined : localSource(path, copy.followLink);
  const plan = source ? planCopy(source, destination) : { dir: destination.path, rename: undefined };
  const archive = source ? localArchive(source, { name: nameOf(source, plan), signal, warn: (line) => ctx.warn(line) }) : stdin();
  await shown(ctx, copy, "Copying to container - ", `${container}:${destination.path}`, (progress) =>
    ctx.api.files.putArchive(container, plan.dir, source && progress ? progress.count(archive) : archive, options),
  );
}

/** What the source's own entry is called, which is where all the others are. */
function nameOf(source: CopyInfo, { rename }: ReturnType<typeof planCopy>): string | undefined {
  if (rename) return rename.to;
  return splitPath(source.path).base === "/" ? "." : undefined;
}

async function* stdin(): AsyncGenerator<Uint8Array, void, void> {
  for await (const chunk of Bun.stdin.stream()) yield chunk;
}

/** Runs a copy and shows how far it is, unless that isn't wanted. */
async function shown(
  ctx: Context,
  { isQuiet }: Copy,
  header: string,
  destination: string,
  run: (progress: CopyProgress | undefined) => Promise<void>,
): Promise<void> {
  if (isQuiet) {
    await run(undefined);
    return;
  }
  using progress = new CopyProgress(ctx.stderr, header);
  try {
    await run(progress);
  } finally {
    // docker says so of a copy that failed, too
    progress.finish(destination);
  }
}

export const cp = command({
  use: "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\tdocker cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
  short: "Copy files/folders between a container and the local filesystem",
  long: `Copy files/folders between a container and the local filesystem

Use '-' as the source to read a tar archive from stdin
and extract it to a directory destination in a container.
Use '-' as the destination to stream a tar archive of a
container source to stdout.`,
  aliases: ["container cp", "cp"],
  args: exactArgs(2),
  flags: {
    archive: { kind: BOOLEAN, short: "a", help: "Archive mode (copy all uid/gid information)" },
    "follow-link": { kind: BOOLEAN, short: "L", help: "Always follow symbol link in SRC_PATH" },
    quiet: {
      kind: BOOLEAN,
      short: "q",
      help: "Suppress progress output during copy. Progress output is automatically suppressed if no terminal is attached",
    },
  },
  run: async (ctx, [from = "", to = ""], flags, changed) => {
    if (from === "") throw new Error("source can not be empty");
    if (to === "") throw new Error("destination can not be empty");
    const source = splitArgument(from);
    const destination = splitArgument(to);
    if (source.container !== "" && destination.container !== "") throw new Error("copying between containers is not supported");
    if (source.container === "" && destination.container === "") throw new Error("must specify at least one container source");
    const interrupt = new AbortController();
    const copy: Copy = {
      container: source.container || destination.container,
      source: source.path,
      destination: destination.path,
      followLink: flags["follow-link"],
      copyUidGid: flags.archive,
      isQuiet: changed.has("quiet") ? flags.quiet : !ctx.stdout.isTerminal,
      signal: interrupt.signal,
    };
    const onInterrupt = (): void => interrupt.abort(new Error("context canceled"));
    if (!copy.isQuiet) process.once("SIGINT", onInterrupt);
    try {
      await (source.container === "" ? toContainer(ctx, copy) : fromContainer(ctx, copy));
    } finally {
      process.off("SIGINT", onInterrupt);
    }
  },
});
