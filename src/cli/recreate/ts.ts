import type { HostConfig } from "../../spec/engine/mod.ts";
import type { Own } from "./own.ts";
import { publishTexts } from "./run.ts";

/** Fields of HostConfig for which the SDK's options have a word of their own. */
const SPOKEN: ReadonlySet<keyof HostConfig> = new Set<keyof HostConfig>([
  ...(["Binds", "PortBindings", "NetworkMode", "ExtraHosts", "Memory", "ShmSize", "NanoCpus", "PidsLimit", "ReadonlyRootfs"] as const),
  ...(["Privileged", "CapAdd", "CapDrop", "SecurityOpt", "Init", "RestartPolicy", "AutoRemove", "Runtime"] as const),
]);

function entries(list: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    list.map((entry) => {
      const at = entry.indexOf("=");
      return at < 0 ? [entry, ""] : [entry.slice(0, at), entry.slice(at + 1)];
    }),
  );
}

function healthOption(own: Own): unknown {
  const { Test, Interval, Timeout, StartPeriod, StartInterval, Retries } = own.health ?? {};
  if (Test === undefined || Test?.[0] === "NONE") return undefined;
  const ms = (ns: number | undefined): number | undefined => (ns ? ns / 1e6 : undefined);
  return {
    command: Test?.[0] === "CMD-SHELL" ? Test[1] : Test?.slice(1),
    intervalMs: ms(Interval),
    timeoutMs: ms(Timeout),
    startPeriodMs: ms(StartPeriod),
    startIntervalMs: ms(StartInterval),
    retries: Retries || undefined,
  };
}

/** The options of the SDK's `containers.run`, in the order in which they are printed. */
function options(own: Own): Record<string, unknown> {
  const { host } = own;
  const policy = host.RestartPolicy;
  const unspoken = Object.fromEntries(Object.entries(host).filter(([key]) => !SPOKEN.has(key as keyof HostConfig)));
  const raw = {
    ...(own.domainname === "" ? {} : { Domainname: own.domainname }),
    ...(own.anonymousVolumes.length > 0 ? { Volumes: Object.fromEntries(own.anonymousVolumes.map((path) => [path, {}])) } : {}),
    ...(own.exposed.length > 0 ? { ExposedPorts: Object.fromEntries(own.exposed.map((port) => [port, {}])) } : {}),
    ...(own.health?.Test?.[0] === "NONE" ? { Healthcheck: own.health } : {}),
    ...(Object.keys(unspoken).length > 0 ? { HostConfig: unspoken } : {}),
  };
  return {
    image: own.image,
    name: own.name,
    command: own.command,
    entrypoint: own.entrypoint,
    hostname: own.hostname || undefined,
    env: own.env.length > 0 ? entries(own.env) : undefined,
    cwd: own.workingDir || undefined,
    user: own.user || undefined,
    labels: Object.keys(own.labels).length > 0 ? own.labels : undefined,
    ports: host.PortBindings && publishTexts(host.PortBindings),
    mounts: host.Binds ?? undefined,
    network: host.NetworkMode,
    extraHosts: host.ExtraHosts ?? undefined,
    memory: host.Memory,
    cpus: host.NanoCpus === undefined ? undefined : host.NanoCpus / 1e9,
    pidsLimit: host.PidsLimit ?? undefined,
    shmSize: host.ShmSize,
    readOnly: host.ReadonlyRootfs,
    privileged: host.Privileged,
    capAdd: host.CapAdd ?? undefined,
    capDrop: host.CapDrop ?? undefined,
    securityOpt: host.SecurityOpt ?? undefined,
    init: host.Init ?? undefined,
    stdin: own.isInteractive || undefined,
    tty: own.isTty || undefined,
    restart: policy?.Name && (policy.MaximumRetryCount ? `${policy.Name}:${policy.MaximumRetryCount}` : policy.Name),
    autoRemove: host.AutoRemove,
    health: healthOption(own),
    stopSignal: own.stopSignal || undefined,
    stopTimeoutS: own.stopTimeout,
    runtime: host.Runtime,
    raw: Object.keys(raw).length > 0 ? raw : undefined,
  };
}

/** An object literal as TypeScript is written: keys without quotes where that is allowed. */
function literal(value: unknown): string {
  return JSON.stringify(value, undefined, 2)
    .replaceAll(/^(\s*)"([A-Za-z_$][\w$]*)":/gm, "$1$2:")
    .replaceAll(/([^,{[\n])\n(\s*[}\]])/g, "$1,\n$2");
}

/** A program that makes the containers again with the SDK. */
export function typescriptText(all: readonly Own[]): string {
  const calls = all.map((own) => `await dhow.containers.run(${literal(options(own))});`);
  return `import { connect } from "dhow";\n\nconst dhow = connect();\n\n${calls.join("\n\n")}\n`;
}
