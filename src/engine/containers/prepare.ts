import { join } from "node:path";
import { type BuiltSpec, buildSpec, type ResolvedUser, resolveUser } from "../../runtime/mod.ts";
import { prepareMountPoints, type ResolvedMounts, resolveMounts } from "../../volumes/mod.ts";
import { cgroupPath } from "./cgroup-path.ts";
import type { ContainerDeps } from "./deps.ts";
import { deviceEdit } from "./device-edit.ts";
import { emitFailedStart } from "./emit.ts";
import { environment } from "./environment.ts";
import { openIdmaps } from "./idmaps.ts";
import { linkEnvironment, linkedContainers } from "./links.ts";
import { withNetDevices } from "./net-devices.ts";
import { etcFiles, inheritHostname, type Plugged, plugIn } from "./networking.ts";
import { isUnmarked, markRoot } from "./root-marks.ts";
import { type StartScope, sharedNamespaces } from "./shared-namespaces.ts";
import type { Container } from "./store.ts";
import { makeWorkingDirectory } from "./unstarted.ts";
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
  asContainerRoot(userns, () => makeWorkingDirectory(rootfs, config));
  const edit = await deviceEdit(deps, container);
  const links = linkedContainers(deps, container);
  const plugged = await plugIn(deps, container, held, () => takeNetns(userns));
  undo.defer(() => deps.network.release(id));
  undo.defer(() => emitFailedStart(deps, container, plugged.state(0)));
  const resolved = await mountsOf(deps, container, scope, user);
  undo.defer(resolved.dispose);
  const [rows = 0, columns = 0] = hostConfig.ConsoleSize ?? [];
  const mounts = [...resolved.mounts, ...etcFiles(deps, container, plugged, { dir, links, owner: userns?.view.root })];
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
    cwd: config.WorkingDir || "/",
    user,
    terminal: config.Tty ?? false,
    consoleSize: rows > 0 && columns > 0 ? { height: rows, width: columns } : undefined,
    hostConfig,
    mounts,
    edit,
    network: netns === undefined ? plugged.network : { kind: "join", path: deps.tasks.netnsPath(id) },
    userns,
    ...sharedNamespaces(deps, container, scope),
    cgroupsPath: cgroupPath(deps, container),
    facts: deps.facts,
    defaults: deps.settings.spec,
  });
  asContainerRoot(userns, () => prepareMountPoints(rootfs, built.spec.mounts));
  const ready = { ...built, spec: withNetDevices(deps, id, plugged, built.spec) };
  return { plugged, built: ready, user, netns, releasePins: resolved.dispose };
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
