/**
 * What stood in the container's configuration in older versions and is an endpoint's, or gone, since then. Each returns its part anew, and says in
 * `warnings` what the user should change.
 * @see daemon/server/router/container/container_routes.go of moby v29
 */
import { DhowError } from "../lib/mod.ts";
import { ENDPOINT_SYSCTLS, type EndpointSettings, type HostConfig } from "../spec/engine/mod.ts";
import { type ApiVersion, olderThan } from "./versions.ts";

export type Endpoints = Readonly<Record<string, EndpointSettings>>;

/** What the conversion of one request goes by. */
export interface Conversion {
  readonly networkMode: string;
  readonly version: ApiVersion;
  readonly warnings: string[];
}

/**
 * Settings of `eth0` among the container's sysctls become its main endpoint's before 1.48.
 * @throws invalid for those of other interfaces, and since 1.48
 */
export function migrateSysctls(
  sysctls: Readonly<Record<string, string>>,
  endpoints: Endpoints,
  { networkMode, version, warnings }: Conversion,
): { readonly sysctls: Readonly<Record<string, string>>; readonly endpoints: Endpoints } {
  const isPrivate = networkMode !== "host" && !networkMode.startsWith("container:");
  const own = Object.keys(sysctls).filter((name) => isPrivate && /^net\.[^.]*\.[^.]*\.eth[^.]*\./.test(name));
  const [first] = own;
  if (first === undefined) return { sysctls, endpoints };
  if (!olderThan(version, 48)) {
    throw new DhowError(
      "invalid",
      `interface specific sysctl setting ${JSON.stringify(first)} must be supplied using driver option '${ENDPOINT_SYSCTLS}'`,
    );
  }
  const network = mainEndpoint(endpoints, networkMode, version, `unable to find a network for sysctl ${first}`);
  const settings = own.map((name) => {
    if (name.split(".")[3] !== "eth0") {
      throw new DhowError(
        "invalid",
        `unable to determine network endpoint for sysctl ${name}, use driver option '${ENDPOINT_SYSCTLS}' to set per-interface sysctls`,
      );
    }
    return `${name.replace(/^(net\.[^.]*\.[^.]*)\.eth0\./, "$1.IFNAME.")}=${sysctls[name]}`;
  });
  const migrated = settings.join(",");
  warnings.push(
    `Migrated sysctl ${JSON.stringify(own.join(","))} to DriverOpts{${JSON.stringify(ENDPOINT_SYSCTLS)}:${JSON.stringify(migrated)}}.`,
  );
  const { DriverOpts, ...endpoint } = endpoints[network] ?? {};
  // what the endpoint says itself comes last, and counts
  const value = [migrated, DriverOpts?.[ENDPOINT_SYSCTLS]].filter(Boolean).join(",");
  return {
    sysctls: Object.fromEntries(Object.entries(sysctls).filter(([name]) => !own.includes(name))),
    endpoints: { ...endpoints, [network]: { ...endpoint, DriverOpts: { ...DriverOpts, [ENDPOINT_SYSCTLS]: value } } },
  };
}

/** The name of the endpoint of the container's network mode; where there is none yet, it is to be one. @throws invalid */
export function mainEndpoint(endpoints: Endpoints, networkMode: string, version: ApiVersion, what: string): string {
  const names = Object.keys(endpoints);
  // the one that there is counts, whatever it is called
  if (olderThan(version, 44)) return names[0] ?? networkMode;
  if (names.length > 0 && endpoints[networkMode] === undefined) {
    throw new DhowError("invalid", `${what}: HostConfig.NetworkMode must match the identity of a network in NetworkSettings.Networks`);
  }
  return networkMode;
}

/** An empty list of bindings is any port of the host, since 1.52 with a warning. */
export function migratePortBindings(
  bindings: NonNullable<HostConfig["PortBindings"]>,
  { version, warnings }: Pick<Conversion, "version" | "warnings">,
): NonNullable<HostConfig["PortBindings"]> {
  const empty = Object.keys(bindings).filter((port) => !bindings[port]?.length);
  if (empty.length === 0) return bindings;
  if (!olderThan(version, 52)) {
    const ports = empty.join(", ");
    warnings.push(
      `Following container port(s) have an empty list of port-bindings: ${ports}. Such bindings will be discarded in a future version.`,
    );
  }
  return Object.fromEntries(Object.entries(bindings).map(([port, list]) => [port, list?.length ? list : [{ HostIp: "", HostPort: "" }]]));
}

/** Since 1.48: a volume driver beside mounts that name none is not theirs. */
export function warnOfVolumeDriver(
  { VolumeDriver, Mounts }: HostConfig,
  { version, warnings }: Pick<Conversion, "version" | "warnings">,
): void {
  if (!VolumeDriver || olderThan(version, 48)) return;
  if (!Mounts?.some((mount) => mount.Type === "volume" && !mount.VolumeOptions?.DriverConfig?.Name)) return;
  warnings.push(
    "WARNING: the container-wide volume-driver configuration is ignored for volumes specified via 'mount'. Use '--mount type=volume,volume-driver=...' instead",
  );
}
