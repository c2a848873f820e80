import { existsSync } from "node:fs";
import { join } from "node:path";
import { FileView, type ViewIds, type ViewMount } from "../../../files/mod.ts";
import {
  dup,
  type Fd,
  fsTypeName,
  type IdView,
  isErrno,
  makeUserNamespaces,
  O_DIRECTORY,
  O_PATH,
  open,
  openat2,
  openIdmapped,
  procFdPath,
  RESOLVE_BENEATH,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  statfs,
} from "../../../linux/mod.ts";
import { hostRoot, joinedContainer, mapText, ownerInside, ownerOutside } from "../../../runtime/mod.ts";
import { cleanPath, ensureSource, prepareMountPoints } from "../../../volumes/mod.ts";
import { isRunning, networkMode } from "../container.ts";
import type { ContainerDeps } from "../deps.ts";
import type { Container } from "../store.ts";
import { fillUnstarted } from "../unstarted.ts";
import { asContainerRoot } from "../userns.ts";

const ETC_FILES = ["hosts", "hostname", "resolv.conf"];

/** A container's files, as its processes see them or would see them. */
export interface ContainerView extends Disposable {
  readonly view: FileView;
  readonly rootfs: string;
}

const depth = (m: ViewMount): number => m.destination.split("/").length;
let views = 0;

/** What a container's files are put together of, as data that another process can be given. */
export interface ViewPlan {
  readonly container: Container;
  /** Whether the root file system is mounted in the ids of the container's user namespace. */
  readonly isMapped: boolean;
  /** The directory of the files below /etc that the engine keeps. */
  readonly etcDir: string;
  /** Where its volumes are, by their names. */
  readonly volumes: Readonly<Record<string, string>>;
  /** Where the images are that are mounted in it, by destination. */
  readonly images: Readonly<Record<string, string>>;
  /** Whether the tmpfs of a running container are part of it. */
  readonly seesTmpfs: boolean;
}

/** A plan while what it names is kept in place. */
export interface HeldPlan extends Disposable {
  readonly plan: ViewPlan;
  /** The root file system: a start may mount it anew, in other ids, but here it is this one. O_PATH. */
  readonly root: Fd;
}

/** Mounts what is a container's own, the root file system and its volumes, until the plan is given up. */
export async function holdPlan(deps: ContainerDeps, container: Container, seesTmpfs: boolean): Promise<HeldPlan> {
  const { id, spec } = container;
  using stack = new DisposableStack();
  if (spec.mounts.length > 0) deps.followHost();
  fillUnstarted(deps, container);
  const held = stack.use(deps.roots.hold(id));
  const root = stack.use(open(held.rootfs, O_PATH | O_DIRECTORY));
  const volumes: Record<string, string> = {};
  for (const m of spec.mounts) {
    if (m.kind !== "volume" || isHidden(spec, m.destination) || volumes[m.volume] !== undefined) continue;
    // a user of its own beside the container, which may start and stop meanwhile
    const user = `${id}/view-${views++}`;
    volumes[m.volume] = await deps.volumes.use(m.volume, user);
    stack.defer(() => void deps.volumes.release(m.volume, user));
  }
  const images: Record<string, string> = {};
  for (const { image, destination } of spec.mounts) {
    if (image !== undefined) images[destination] = stack.use(deps.roots.hold(image.key)).rootfs;
  }
  const donor = joinedContainer(networkMode(spec.hostConfig));
  const owner = donor === undefined ? id : (deps.store.get(donor)?.id ?? id);
  const etcDir = join(deps.settings.dataRoot, "containers", owner);
  const kept = stack.move();
  const plan = { container, isMapped: held.isMapped, etcDir, volumes, images, seesTmpfs };
  return { plan, root, [Symbol.dispose]: () => kept.dispose() };
}

/**
 * Opens the file tree of a container: its root file system with its volumes, binds, the tmpfs of a running one, and the files below /etc
 * that the engine keeps, at their places; not /proc, /sys and /dev, of which dockerd shows nothing either. Nothing is mounted but the root
 * file system, so whatever the container does meanwhile, it starts and stops as if nobody looked.
 * @throws what stands in the way of a volume or a bind, in docker's words
 */
export async function openView(plan: ViewPlan, rootFd: number): Promise<ContainerView> {
  const { container, isMapped } = plan;
  const { spec } = container;
  using opened = new DisposableStack();
  const root = opened.use(dup(rootFd));
  const rootfs = procFdPath(root.fd);
  using userns = isMapped ? await openIds(spec) : undefined;
  const mounts: ViewMount[] = [];
  const add = (mount: ViewMount): void => {
    opened.use(mount.source);
    mounts.push(mount);
  };
  for (const mount of etcMounts(plan)) add(mount);
  addVolumes(plan, userns, add);
  if (isRunning(container.state)) for (const mount of plan.seesTmpfs ? tmpfsMounts(container) : []) add(mount);
  else asContainerRoot(userns, () => prepareMountPoints(rootfs, sources(container)));
  mounts.sort((a, b) => depth(a) - depth(b));
  const view = new FileView({ root, isReadOnly: spec.hostConfig.ReadonlyRootfs ?? false, mounts, ids: userns?.ids });
  opened.move();
  return { view, rootfs, [Symbol.dispose]: () => view[Symbol.dispose]() };
}

/** A tmpfs of `--tmpfs` lies over a volume or a bind at the same place. */
function isHidden({ hostConfig }: Container["spec"], destination: string): boolean {
  return Object.keys(hostConfig.Tmpfs ?? {}).some((path) => cleanPath(path) === destination);
}

/** What shows a container's files in the ids of its user namespace. */
interface OpenIds extends Disposable {
  readonly view: IdView;
  readonly ids: ViewIds;
}

async function openIds({ userns: mappings }: Container["spec"]): Promise<OpenIds | undefined> {
  if (mappings === undefined) return undefined;
  const namespaces = await makeUserNamespaces({ uidMap: mapText(mappings.uids), gidMap: mapText(mappings.gids) });
  const root = hostRoot(mappings);
  return {
    view: { userns: namespaces.userns, root },
    ids: { root, fromHost: (owner) => ownerInside(mappings, owner), toHost: (owner) => ownerOutside(mappings, owner) },
    [Symbol.dispose]: () => namespaces[Symbol.dispose](),
  };
}

/** The places that a start would make for the container's own mounts. */
function sources({ spec }: Container): Parameters<typeof prepareMountPoints>[1] {
  return spec.mounts
    .filter(({ kind }) => kind !== "tmpfs")
    .map(({ destination, source }) => ({ destination, type: "bind", source, options: [] }));
}

function etcMounts({ container, etcDir }: ViewPlan): ViewMount[] {
  const { spec } = container;
  const taken = new Set(spec.mounts.map((m) => m.destination));
  return ETC_FILES.filter((name) => !taken.has(`/etc/${name}`) && existsSync(join(etcDir, name))).map((name) => ({
    destination: `/etc/${name}`,
    source: open(join(etcDir, name), O_PATH),
    isReadOnly: spec.hostConfig.ReadonlyRootfs ?? false,
    isRecursive: false,
  }));
}

function addVolumes({ container, volumes, images }: ViewPlan, userns: OpenIds | undefined, add: (mount: ViewMount) => void): void {
  const { spec } = container;
  for (const m of spec.mounts) {
    if (m.kind === "tmpfs" || isHidden(spec, m.destination)) continue;
    let source: Fd;
    if (m.kind === "volume") {
      const path = volumes[m.volume];
      if (path === undefined) continue;
      source = inIds(openVolume(path, m.subpath), userns);
    } else if (m.kind === "image") {
      const path = images[m.destination];
      if (path === undefined) continue;
      source = openVolume(path, m.subpath);
    } else {
      ensureSource(m, spec.userns && { root: hostRoot(spec.userns) });
      source = open(m.source, O_PATH);
    }
    add({ destination: m.destination, source, isReadOnly: m.isReadOnly, isRecursive: !m.isNonRecursive });
  }
}

/** A volume in the namespace's ids, as the container has it; as it is where its file system can't show others. */
function inIds(volume: Fd, userns: OpenIds | undefined): Fd {
  if (userns === undefined) return volume;
  try {
    const shown = openIdmapped(procFdPath(volume.fd), userns.view.userns, true);
    volume.close();
    return shown;
  } catch (error) {
    if (isErrno(error, "EINVAL", "ENOSYS", "EOPNOTSUPP")) return volume;
    volume.close();
    throw error;
  }
}

function openVolume(path: string, subpath: string): Fd {
  const root = open(path, O_PATH | O_DIRECTORY);
  if (subpath === "") return root;
  using base = root;
  return openat2(base.fd, subpath, { flags: O_PATH, resolve: RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS });
}

/** What a container has of `--tmpfs` and of `--mount type=tmpfs`. */
export function tmpfsOf(spec: Container["spec"]): readonly Pick<ViewMount, "destination" | "isReadOnly">[] {
  const mounted = spec.mounts.filter(({ kind }) => kind === "tmpfs").map(({ destination, isReadOnly }) => ({ destination, isReadOnly }));
  const asked = Object.entries(spec.hostConfig.Tmpfs ?? {}).map(([path, options]) => ({
    destination: cleanPath(path),
    isReadOnly: options.split(",").includes("ro"),
  }));
  return [...mounted, ...asked];
}

/** The tmpfs of a running container exist in its own mount namespace only, which its process's root leads to. */
function tmpfsMounts({ spec, state }: Container): ViewMount[] {
  const all = tmpfsOf(spec);
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
