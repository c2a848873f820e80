import { DhowError, parseBytes } from "../lib/mod.ts";
import type { ContainerCreateRequest, Mount, PortBinding } from "../spec/engine/mod.ts";
import { commandWords, envWords } from "./exec.ts";

/** A port of the container, and where on the host it is published. */
export interface PublishedPort {
  readonly container: number;
  /** A free one when left out. */
  readonly host?: number | undefined;
  /** An address of the host; all when left out. */
  readonly hostIp?: string | undefined;
  readonly protocol?: "tcp" | "udp" | "sctp" | undefined;
}

/** What appears at `target` in the container. */
export type MountOption =
  | { readonly kind: "bind"; readonly source: string; readonly target: string; readonly readOnly?: boolean | undefined }
  | {
      readonly kind: "volume";
      /** The volume's name; without it a volume that goes with the container. */
      readonly source?: string | undefined;
      readonly target: string;
      readonly readOnly?: boolean | undefined;
    }
  | { readonly kind: "tmpfs"; readonly target: string; readonly size?: number | string | undefined };

/** A command that tells whether the container works; times in milliseconds. */
export interface HealthCheck {
  /** Text is left to a shell. */
  readonly command: string | readonly string[];
  readonly intervalMs?: number | undefined;
  readonly timeoutMs?: number | undefined;
  readonly startPeriodMs?: number | undefined;
  readonly startIntervalMs?: number | undefined;
  readonly retries?: number | undefined;
}

/** What a container is made of; only the image is needed. */
export interface ContainerOptions {
  readonly image: string;
  /** Words, or text for a shell in the container; the image's when left out. */
  readonly command?: string | readonly string[] | undefined;
  readonly entrypoint?: readonly string[] | undefined;
  readonly name?: string | undefined;
  readonly hostname?: string | undefined;
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** The working directory. */
  readonly cwd?: string | undefined;
  /** `name`, `uid`, `name:group` or `uid:gid`. */
  readonly user?: string | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** `80` (on a free port of the host), `"8080:80"`, `"127.0.0.1:8443:443"`, `"53/udp"`, or in words. */
  readonly ports?: readonly (number | string | PublishedPort)[] | undefined;
  /** `"/host/path:/path"`, `"volume:/path:ro"`, or in words. */
  readonly mounts?: readonly (string | MountOption)[] | undefined;
  /** `bridge`, `host`, `none`, `container:<name>`, or a network's name. */
  readonly network?: string | undefined;
  /** `name:address` lines of /etc/hosts. */
  readonly extraHosts?: readonly string[] | undefined;
  /** Bytes, or `"512m"`. */
  readonly memory?: number | string | undefined;
  /** `0.5` is half of a processor. */
  readonly cpus?: number | undefined;
  readonly pidsLimit?: number | undefined;
  readonly shmSize?: number | string | undefined;
  readonly readOnly?: boolean | undefined;
  readonly privileged?: boolean | undefined;
  readonly capAdd?: readonly string[] | undefined;
  readonly capDrop?: readonly string[] | undefined;
  readonly securityOpt?: readonly string[] | undefined;
  /** Puts an init in front of the command, which reaps and forwards signals. */
  readonly init?: boolean | undefined;
  /** Keeps stdin open for `Container.stdin`. */
  readonly stdin?: boolean | undefined;
  readonly tty?: boolean | undefined;
  /** `no`, `always`, `unless-stopped`, `on-failure` or `on-failure:3`. */
  readonly restart?: string | undefined;
  /** The engine removes it when its process ends. */
  readonly autoRemove?: boolean | undefined;
  readonly health?: HealthCheck | undefined;
  readonly stopSignal?: string | undefined;
  readonly stopTimeoutS?: number | undefined;
  readonly runtime?: string | undefined;
  /** `linux/arm64`. */
  readonly platform?: string | undefined;
  /** What these options have no word for, in the API's own; its fields win over theirs. */
  readonly raw?: ContainerCreateRequest | undefined;
}

/** @throws invalid */
function sizeBytes(size: number | string, what: string): number {
  const bytes = typeof size === "number" ? size : parseBytes(size);
  if (bytes === undefined)
    throw new DhowError("invalid", `read the option ${what}: invalid size ${JSON.stringify(size)}, want bytes or "512m"`);
  return bytes;
}

const PORT = /^(?:(?:(\[[0-9a-fA-F:]+\]|[0-9.]+):)?(\d*):)?(\d+)(?:\/(tcp|udp|sctp))?$/;

/** @throws invalid */
function parsePort(port: number | string | PublishedPort): PublishedPort {
  if (typeof port === "number") return { container: port };
  if (typeof port !== "string") return port;
  const [, hostIp, host, container, protocol] = PORT.exec(port) ?? [];
  if (container === undefined)
    throw new DhowError("invalid", `read the option ports: found ${JSON.stringify(port)}, want [[address:]host-port:]port[/protocol]`);
  return {
    container: Number(container),
    ...(host ? { host: Number(host) } : {}),
    ...(hostIp === undefined ? {} : { hostIp: hostIp.replace(/^\[|\]$/g, "") }),
    ...(protocol === "udp" || protocol === "sctp" ? { protocol } : {}),
  };
}

function portBindings(ports: readonly (number | string | PublishedPort)[]): Record<string, PortBinding[]> {
  const bindings: Record<string, PortBinding[]> = {};
  for (const { container, host, hostIp = "", protocol = "tcp" } of ports.map(parsePort)) {
    const key = `${container}/${protocol}`;
    bindings[key] = [...(bindings[key] ?? []), { HostIp: hostIp, HostPort: host === undefined ? "" : String(host) }];
  }
  return bindings;
}

function mountOf(mount: MountOption): Mount {
  const { kind, target } = mount;
  switch (kind) {
    case "bind":
    case "volume":
      return { Type: kind, Target: target, Source: mount.source ?? "", ReadOnly: mount.readOnly === true };
    case "tmpfs":
      return {
        Type: kind,
        Target: target,
        ...(mount.size === undefined ? {} : { TmpfsOptions: { SizeBytes: sizeBytes(mount.size, "mounts") } }),
      };
    default: {
      const never: never = kind;
      return never;
    }
  }
}

function healthcheck(check: HealthCheck): NonNullable<ContainerCreateRequest["Healthcheck"]> {
  const ns = (ms: number | undefined): number => Math.round((ms ?? 0) * 1e6);
  return {
    Test: typeof check.command === "string" ? ["CMD-SHELL", check.command] : ["CMD", ...check.command],
    Interval: ns(check.intervalMs),
    Timeout: ns(check.timeoutMs),
    StartPeriod: ns(check.startPeriodMs),
    StartInterval: ns(check.startIntervalMs),
    Retries: check.retries ?? 0,
  };
}

function restartPolicy(text: string): { readonly Name: string; readonly MaximumRetryCount: number } {
  const [name = "", count = "0"] = text.split(":");
  return { Name: name, MaximumRetryCount: Number(count) };
}

/** Without what was not said: the engine has its own defaults. */
function said<T extends object>(fields: T): T {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T;
}

function hostConfig(options: ContainerOptions): NonNullable<ContainerCreateRequest["HostConfig"]> {
  const mounts = options.mounts ?? [];
  const sized = (size: number | string | undefined, what: string): number | undefined =>
    size === undefined ? undefined : sizeBytes(size, what);
  return said({
    Binds: mounts.filter((mount) => typeof mount === "string"),
    Mounts: mounts.filter((mount) => typeof mount !== "string").map(mountOf),
    PortBindings: options.ports && portBindings(options.ports),
    NetworkMode: options.network,
    ExtraHosts: options.extraHosts,
    Memory: sized(options.memory, "memory"),
    ShmSize: sized(options.shmSize, "shmSize"),
    NanoCpus: options.cpus === undefined ? undefined : Math.round(options.cpus * 1e9),
    PidsLimit: options.pidsLimit,
    ReadonlyRootfs: options.readOnly,
    Privileged: options.privileged,
    CapAdd: options.capAdd,
    CapDrop: options.capDrop,
    SecurityOpt: options.securityOpt,
    Init: options.init,
    RestartPolicy: options.restart === undefined ? undefined : restartPolicy(options.restart),
    AutoRemove: options.autoRemove,
    Runtime: options.runtime,
  });
}

/** The options in the API's words. @throws invalid for a port or a size that is none */
export function createRequest(options: ContainerOptions, withInput: boolean): ContainerCreateRequest {
  const { ports, raw } = options;
  const request = said({
    Image: options.image,
    Cmd: options.command === undefined ? undefined : commandWords(options.command),
    Entrypoint: options.entrypoint,
    Hostname: options.hostname,
    Env: options.env && envWords(options.env),
    WorkingDir: options.cwd,
    User: options.user,
    Labels: options.labels,
    ExposedPorts: ports && Object.fromEntries(Object.keys(portBindings(ports)).map((port) => [port, {}])),
    OpenStdin: withInput || options.stdin,
    StdinOnce: withInput || options.stdin,
    Tty: options.tty,
    Healthcheck: options.health && healthcheck(options.health),
    StopSignal: options.stopSignal,
    StopTimeout: options.stopTimeoutS,
  });
  return { ...request, ...raw, HostConfig: { ...hostConfig(options), ...raw?.HostConfig } };
}
