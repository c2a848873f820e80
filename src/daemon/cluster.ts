/** The etcd that hosts share for their overlay networks: the flags of dockerd up to 20.10, checked and read as it does. */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { isIP } from "node:net";
import { type NetworkInterfaceInfo, networkInterfaces } from "node:os";
import { invalid } from "./flags.ts";

/** What `--cluster-store`, `--cluster-advertise` and `--cluster-store-opt` say. */
export interface ClusterConfig {
  /** As it was given, for `docker info`. */
  readonly store: string;
  /** `http://host:port` of each member. */
  readonly endpoints: readonly string[];
  /** An address or the name of an interface; empty: the address that this host asks etcd from. */
  readonly advertise: string;
  /** Where everything is in etcd; empty: the usual place. */
  readonly path: string;
  /** Paths of PEM files; empty: none. */
  readonly tls: { readonly ca: string; readonly cert: string; readonly key: string; readonly serverName: string };
  /** Who this is to an etcd with authentication, and the path of a file with the password; empty: nobody. */
  readonly user: { readonly name: string; readonly passwordFile: string };
  readonly heartbeatSeconds: number;
  /** How long the other hosts wait for one that says nothing. */
  readonly ttlSeconds: number;
  /** How long the keys of encrypted networks are in use. */
  readonly rotationSeconds: number;
}

const DEFAULT_PORT = 2379;
const DEFAULT_HEARTBEAT_S = 20;
/** How many heartbeats may be missed. */
const TTL_FACTOR = 3;
/** Docker's. */
const DEFAULT_ROTATION_S = 12 * 3600;
const OPTIONS = [
  ...["discovery.heartbeat", "discovery.ttl", "encryption.rotation", "kv.path"],
  ...["kv.cacertfile", "kv.certfile", "kv.keyfile", "kv.servername", "kv.username", "kv.passwordfile"],
];

/**
 * Reads the settings; undefined when there is no store.
 * @throws invalid in dockerd's words
 * @see daemon/config/config.go and daemon/discovery/discovery.go of moby 20.10
 */
export function clusterConfig(store: string, advertise: string, options: Readonly<Record<string, string>>): ClusterConfig | undefined {
  if (store === "") {
    if (advertise !== "")
      throw invalid("invalid cluster configuration. --cluster-advertise must be accompanied by --cluster-store configuration");
    return undefined;
  }
  const unknown = Object.keys(options).find((key) => !OPTIONS.includes(key));
  if (unknown !== undefined) throw invalid(`invalid cluster configuration. unknown --cluster-store-opt ${JSON.stringify(unknown)}`);
  const option = (name: string): string => options[`kv.${name}`] ?? "";
  const tls = { ca: option("cacertfile"), cert: option("certfile"), key: option("keyfile"), serverName: option("servername") };
  const user = { name: option("username"), passwordFile: option("passwordfile") };
  if ((tls.cert === "") !== (tls.key === "")) throw invalid("invalid cluster configuration. kv.certfile and kv.keyfile go together");
  if ((user.name === "") !== (user.passwordFile === ""))
    throw invalid("invalid cluster configuration. kv.username and kv.passwordfile go together");
  const hasTlsOptions = Object.values(tls).some((text) => text !== "");
  const [endpoints, path] = membersOf(store, hasTlsOptions);
  return { store, endpoints, advertise: hostOf(advertise), path: option("path") || path, tls, user, ...times(options) };
}

/** `etcd://host:port,host:port/path`, or with http:// or https:// instead. */
function membersOf(store: string, hasTlsOptions: boolean): readonly [endpoints: readonly string[], path: string] {
  const match = /^(etcd|https?):\/\/([^/]+)(?:\/(.*))?$/.exec(store);
  if (match === null)
    throw invalid(`invalid cluster configuration. --cluster-store ${JSON.stringify(store)} is not etcd://host:port[,host:port…][/path]`);
  const [, scheme, members = "", path = ""] = match;
  if (scheme === "http" && hasTlsOptions)
    throw invalid("invalid cluster configuration. --cluster-store is http://, which the options of TLS have no use for");
  const isTls = scheme === "https" || hasTlsOptions;
  const endpoints = members.split(",").map((member) => {
    const [, host, port] = /^(\[[0-9a-fA-F:.]+\]|[^:\s[\]@?#]+)(?::(\d{1,5}))?$/.exec(member) ?? [];
    if (host === undefined || Number(port ?? 1) > 65535 || Number(port ?? 1) < 1)
      throw invalid(`invalid cluster configuration. --cluster-store has ${JSON.stringify(member)} where host:port should be`);
    return `${isTls ? "https" : "http"}://${host}:${port ?? DEFAULT_PORT}`;
  });
  return [endpoints, path.replace(/^\/+|\/+$/g, "")];
}

/** The address or interface of `address:port`; what dockerd listens at is of no use here. */
function hostOf(advertise: string): string {
  if (isIP(advertise) !== 0) return advertise;
  const [, host] = /^\[?([^\]]*?)\]?(?::\d+)?$/.exec(advertise) ?? [];
  if (host === undefined || (advertise !== "" && host === "")) {
    throw invalid(`discovery advertise parsing failed (invalid --cluster-advertise configuration: ${JSON.stringify(advertise)})`);
  }
  return host;
}

function times(options: Readonly<Record<string, string>>): Pick<ClusterConfig, "heartbeatSeconds" | "ttlSeconds" | "rotationSeconds"> {
  const heartbeat = seconds(options, "discovery.heartbeat");
  const ttl = seconds(options, "discovery.ttl");
  const heartbeatSeconds = heartbeat ?? (ttl === undefined ? DEFAULT_HEARTBEAT_S : Math.max(1, Math.floor(ttl / TTL_FACTOR)));
  const ttlSeconds = ttl ?? heartbeatSeconds * TTL_FACTOR;
  if (ttlSeconds <= heartbeatSeconds) throw invalid("discovery.ttl timer must be greater than discovery.heartbeat");
  return { heartbeatSeconds, ttlSeconds, rotationSeconds: seconds(options, "encryption.rotation") ?? DEFAULT_ROTATION_S };
}

function seconds(options: Readonly<Record<string, string>>, key: string): number | undefined {
  const text = options[key];
  if (text === undefined) return undefined;
  if (!/^-?\d+$/.test(text)) throw invalid(`strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`);
  if (Number(text) <= 0) throw invalid(`${key} must be positive`);
  return Number(text);
}

/**
 * The address that other hosts send this one's packets to.
 * @throws invalid when the interface that was named has none, or only this host can send there
 */
export async function advertisedAddress({ advertise, endpoints }: ClusterConfig): Promise<string> {
  if (isIP(advertise) !== 0) return advertise;
  if (advertise !== "") return addressOfInterface(advertise);
  const address = await addressTowards(endpoints[0] ?? "");
  if (address === undefined || address.startsWith("127.") || address === "::1") {
    throw invalid(
      `invalid cluster configuration. --cluster-store leads to ${address ?? "nowhere"}: say by --cluster-advertise which address the other hosts reach this one at`,
    );
  }
  return address;
}

function addressOfInterface(name: string): string {
  const found: readonly NetworkInterfaceInfo[] = networkInterfaces()[name] ?? [];
  const address = found.find(({ family }) => family === "IPv4") ?? found.find(({ scopeid = 0 }) => scopeid === 0);
  if (address === undefined) {
    throw invalid(
      `discovery advertise parsing failed (unable to get interface IP: no up interface ${JSON.stringify(name)} with an address)`,
    );
  }
  return address.address;
}

/** The address that the kernel sends from to an endpoint; nothing is sent. Undefined: no route leads there. */
async function addressTowards(endpoint: string): Promise<string | undefined> {
  const { hostname, port } = new URL(endpoint);
  const host = hostname.replace(/^\[|\]$/g, "");
  const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
  try {
    const connected = once(socket, "connect");
    socket.connect(Number(port || 80), host);
    await connected;
    return socket.address().address;
  } catch {
    return undefined;
  } finally {
    socket.close();
  }
}
