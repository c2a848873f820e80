import { join } from "node:path";
import { DhowError } from "../../lib/mod.ts";
import { isErrno, mkdirat, O_DIRECTORY, O_PATH, open, openat2, RESOLVE_IN_ROOT } from "../../linux/mod.ts";
import { type BuiltSpec, buildSpec, type ResolvedUser, resolveUser } from "../../runtime/mod.ts";
import { prepareMountPoints, type ResolvedMounts, resolveMounts } from "../../volumes/mod.ts";
import { cgroupPath } from "./cgroup-path.ts";
import type { ContainerDeps } from "./deps.ts";
import { environment } from "./environment.ts";
import { openIdmaps } from "./idmaps.ts";
import { linkEnvironment, linkedContainers } from "./links.ts";
import { etcFiles, inheritHostname, type Plugged, plugIn } from "./networking.ts";
import { isUnmarked, markRoot } from "./root-marks.ts";
import { type StartScope, sharedNamespaces } from "./shared-namespaces.ts";
import type { Container } from "./store.ts";
import { asContainerRoot, mountRootfs, takeNetns } from "./userns.ts";

/** What is there when the process may be started. */
export interface Prepared {
  readonly plugged: Plugged;
  readonly built: BuiltSpec;
  readonly user: ResolvedUser;
  /** Where the network namespace is that the configuration names by its link in the bundle. */
  readonly netns: string | undefined;
  /** Gives up what only the runtime's start needs. */
  readonly releasePins: () => void;
}

interface PrepareScope extends StartScope {
  /** Where the volumes are. */
  readonly paths: ReadonlyMap<string, string>;
}

/** Everything that a start needs: root file system, network, files, mounts, and the runtime's configuration. */
export async function prepare(deps: ContainerDeps, container: Container, scope: PrepareScope): Promise<Prepared> {
  const { undo, held, userns } = scope;
  inheritHostname(deps, container);
  const { id, spec } = container;
  const { config, hostConfig } = spec;
  const rootfs = mountRootfs(deps, id, userns);
  undo.defer(() => deps.roots.release(id));
  if (isUnmarked(container)) asContainerRoot(userns, () => markRoot(rootfs));
  const dir = join(deps.settings.dataRoot, "containers", id);
  const user = resolveUser(rootfs, config.User ?? "", hostConfig.GroupAdd ?? []);
  const cwd = config.WorkingDir || "/";
  if (cwd !== "/") asContainerRoot(userns, () => ensureDirectory(rootfs, cwd));
  const links = linkedContainers(deps, container);
  const plugged = await plugIn(deps, container, held, () => takeNetns(userns));
  undo.defer(() => deps.network.release(id));
  const resolved = await mountsOf(deps, container, scope, user);
  undo.defer(resolved.dispose);
  const [rows = 0, columns = 0] = hostConfig.ConsoleSize ?? [];
  const mounts = [...resolved.mounts, ...etcFiles(deps, container, plugged, { dir, links, owner: userns?.view.root })];
  asContainerRoot(userns, () => prepareMountPoints(rootfs, mounts));
  // the runtime remembers the path for as long as the container runs: longer than this process may
  const netns = plugged.network.kind === "join" && userns === undefined ? plugged.network.path : undefined;
  const built = buildSpec({
    id,
    rootfs,
    hostname: config.Hostname ?? "",
    domainname: config.Domainname ?? "",
    args: [spec.path, ...spec.args],
    env: environment(container, {
      home: user.home,
      linked: links.flatMap((link) => linkEnvironment(container.name, link)),
      hasTerminal: config.Tty ?? false,
    }),
    cwd,
    user,
    terminal: config.Tty ?? false,
    consoleSize: rows > 0 && columns > 0 ? { height: rows, width: columns } : undefined,
    hostConfig,
    mounts,
    network: netns === undefined ? plugged.network : { kind: "join", path: deps.tasks.netnsPath(id) },
    userns,
    ...sharedNamespaces(deps, container, scope),
    cgroupsPath: cgroupPath(deps, container),
    facts: deps.facts,
    defaults: deps.settings.spec,
  });
  return { plugged, built, user, netns, releasePins: resolved.dispose };
}

async function mountsOf(
  deps: ContainerDeps,
  container: Container,
  { undo, held, userns, paths }: PrepareScope,
  user: ResolvedUser,
): Promise<ResolvedMounts> {
  return resolveMounts({
    containerId: container.id,
    mounts: container.spec.mounts,
    tmpfs: container.spec.hostConfig.Tmpfs,
    paths,
    idmaps: await openIdmaps(deps, container, user, held),
    mountImage: (key) => {
      undo.defer(() => deps.roots.release(key));
      return deps.roots.use(key, userns?.view);
    },
    recursiveReadOnly: deps.facts.recursiveReadOnly,
    scratch: join(deps.settings.execRoot, "scratch", container.id),
    view: userns?.view,
  });
}

/** Makes a directory and its parents inside `rootfs`, where they are missing; links resolve inside. @throws invalid when a file is in the way */
function ensureDirectory(rootfs: string, path: string): void {
  using root = open(rootfs, O_PATH | O_DIRECTORY);
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  const flags = { flags: O_PATH | O_DIRECTORY, resolve: RESOLVE_IN_ROOT };
  for (let depth = 1; depth <= parts.length; depth++) {
    const prefix = parts.slice(0, depth).join("/");
    try {
      openat2(root.fd, prefix, flags)[Symbol.dispose]();
    } catch (error) {
      if (isErrno(error, "ENOTDIR")) throw new DhowError("invalid", `Cannot mkdir: ${path} is not a directory`, { cause: error });
      if (!isErrno(error, "ENOENT")) throw error;
      using parent = openat2(root.fd, depth === 1 ? "." : parts.slice(0, depth - 1).join("/"), flags);
      mkdirat(parent.fd, parts[depth - 1] ?? "", 0o755);
    }
  }
}
