import { existsSync } from "node:fs";
import { join } from "node:path";
import { FileView, type ViewMount } from "../../../files/mod.ts";
import {
  type Fd,
  fsTypeName,
  isErrno,
  O_DIRECTORY,
  O_PATH,
  open,
  openat2,
  procFdPath,
  RESOLVE_BENEATH,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  statfs,
} from "../../../linux/mod.ts";
import { joinedContainer } from "../../../runtime/mod.ts";
import { cleanPath, ensureSource, prepareMountPoints } from "../../../volumes/mod.ts";
import { isRunning, networkMode } from "../container.ts";
import type { ContainerDeps } from "../deps.ts";
import type { Container } from "../store.ts";

const ETC_FILES = ["hosts", "hostname", "resolv.conf"];

/** A container's files, as its processes see them or would see them. */
export interface ContainerView extends Disposable {
  readonly view: FileView;
  readonly rootfs: string;
}

const depth = (m: ViewMount): number => m.destination.split("/").length;
let views = 0;

/**
 * Opens the file tree of a container: its root file system with its volumes, binds, the tmpfs of a running one, and the files below /etc
 * that the engine keeps, at their places; not /proc, /sys and /dev, of which dockerd shows nothing either. Nothing is mounted but the root
 * file system, so whatever the container does meanwhile, it starts and stops as if nobody looked.
 * @throws what stands in the way of a volume or a bind, in docker's words
 */
export async function openView(deps: ContainerDeps, container: Container): Promise<ContainerView> {
  // its mount points may have to be made, which must not meet a start
  return isRunning(container.state) ? assemble(deps, container) : deps.locks.run(container.id, () => assemble(deps, container));
}

function assemble(deps: ContainerDeps, container: Container): ContainerView {
  const { id, spec } = container;
  using stack = new DisposableStack();
  const { rootfs } = stack.use(deps.roots.hold(id));
  const mounts: ViewMount[] = [];
  using opened = new DisposableStack();
  const add = (mount: ViewMount | undefined): void => {
    if (mount === undefined) return;
    opened.use(mount.source);
    mounts.push(mount);
  };
  for (const mount of etcMounts(deps, container)) add(mount);
  addVolumes(deps, container, add, stack);
  if (isRunning(container.state)) for (const mount of tmpfsMounts(container)) add(mount);
  else prepareMountPoints(rootfs, sources(container));
  mounts.sort((a, b) => depth(a) - depth(b));
  const root = opened.use(open(rootfs, O_PATH | O_DIRECTORY));
  const isReadOnly = spec.hostConfig.ReadonlyRootfs ?? false;
  const view = stack.use(new FileView({ root, isReadOnly, mounts }));
  opened.move();
  const held = stack.move();
  return { view, rootfs, [Symbol.dispose]: () => held.dispose() };
}

/** The places that a start would make for the container's own mounts. */
function sources({ spec }: Container): Parameters<typeof prepareMountPoints>[1] {
  return spec.mounts
    .filter(({ kind }) => kind !== "tmpfs")
    .map(({ destination, source }) => ({ destination, type: "bind", source, options: [] }));
}

function etcMounts(deps: ContainerDeps, container: Container): ViewMount[] {
  const { id, spec } = container;
  const donor = joinedContainer(networkMode(spec.hostConfig));
  const owner = donor === undefined ? id : (deps.store.get(donor)?.id ?? id);
  const dir = join(deps.settings.dataRoot, "containers", owner);
  const taken = new Set(spec.mounts.map((m) => m.destination));
  return ETC_FILES.filter((name) => !taken.has(`/etc/${name}`) && existsSync(join(dir, name))).map((name) => ({
    destination: `/etc/${name}`,
    source: open(join(dir, name), O_PATH),
    isReadOnly: spec.hostConfig.ReadonlyRootfs ?? false,
    isRecursive: false,
  }));
}

function addVolumes(deps: ContainerDeps, { id, spec }: Container, add: (mount: ViewMount) => void, stack: DisposableStack): void {
  const hidden = new Set(Object.keys(spec.hostConfig.Tmpfs ?? {}).map(cleanPath));
  for (const m of spec.mounts) {
    if (m.kind === "tmpfs" || hidden.has(m.destination)) continue;
    let source: Fd;
    if (m.kind === "volume") {
      // a user of its own beside the container, which may start and stop meanwhile
      const user = `${id}/view-${views++}`;
      const path = deps.volumes.use(m.volume, user);
      stack.defer(() => deps.volumes.release(m.volume, user));
      source = openVolume(path, m.subpath);
    } else {
      ensureSource(m);
      source = open(m.source, O_PATH);
    }
    add({ destination: m.destination, source, isReadOnly: m.isReadOnly, isRecursive: !m.isNonRecursive });
  }
}

function openVolume(path: string, subpath: string): Fd {
  const root = open(path, O_PATH | O_DIRECTORY);
  if (subpath === "") return root;
  using base = root;
  return openat2(base.fd, subpath, { flags: O_PATH, resolve: RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS });
}

/** The tmpfs of a running container exist in its own mount namespace only, which its process's root leads to. */
function tmpfsMounts({ spec, state }: Container): ViewMount[] {
  const mounted = spec.mounts.filter(({ kind }) => kind === "tmpfs").map(({ destination, isReadOnly }) => ({ destination, isReadOnly }));
  const asked = Object.entries(spec.hostConfig.Tmpfs ?? {}).map(([path, options]) => ({
    destination: cleanPath(path),
    isReadOnly: options.split(",").includes("ro"),
  }));
  const all = [...mounted, ...asked];
  if (all.length === 0) return [];
  using root = tryOpen(() => open(`/proc/${state.pid}/root`, O_PATH | O_DIRECTORY));
  if (root === undefined) return [];
  return all.flatMap(({ destination, isReadOnly }) => {
    const resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    const source = tryOpen(() => openat2(root.fd, destination, { flags: O_PATH | O_DIRECTORY, resolve }));
    if (source === undefined) return [];
    // the container may have moved it, or its process may have ended and another have its number
    if (fsTypeName(statfs(procFdPath(source.fd)).type) === "tmpfs") return [{ destination, source, isReadOnly, isRecursive: false }];
    source.close();
    return [];
  });
}

function tryOpen(attempt: () => Fd): Fd | undefined {
  try {
    return attempt();
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP", "ESRCH", "EACCES")) return undefined;
    throw error;
  }
}
