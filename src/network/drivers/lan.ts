import { randomBytes } from "node:crypto";
import { DhowError } from "../../lib/mod.ts";
import {
  addBridge,
  addDummy,
  addIpAddress,
  addIpvlan,
  addMacvlan,
  addVlan,
  deleteLink,
  type Fd,
  findLink,
  IPVLAN_FLAG,
  IPVLAN_MODE,
  insideNetns,
  isErrno,
  type Link,
  MACVLAN_MODE,
  NETLINK,
  NetlinkSocket,
  type Request,
  setLink,
} from "../../linux/mod.ts";
import type { EndpointsTable } from "../../metadata/mod.ts";
import { LocalAddresses } from "../addresses.ts";
import { type Family, ipBytes, parseIp } from "../ip.ts";
import type { NetworkConfig, NetworkRequest } from "../network-config.ts";
import { setIpv6 } from "./bridge-link.ts";
import type { DriverNetwork, NetworkDriver, Plugged, PluggedEndpoint, PlugRequest, Removal } from "./driver.ts";

/** `macvlan`: each container has a MAC address on the parent's network; `ipvlan`: it shares the parent's. */
export type LanKind = "macvlan" | "ipvlan";

export interface LanDeps {
  /** The daemon's own namespace. */
  readonly home: Fd;
  readonly route: NetlinkSocket;
  readonly table: EndpointsTable;
  readonly reclaim: () => boolean;
}

interface LanSettings {
  /** Name of the link below; undefined: one that leads nowhere. */
  readonly parent: string | undefined;
  readonly mode: number;
  readonly flag: number;
  /** The default route is the interface itself: there is nobody to ask for a gateway. */
  readonly isRouted: boolean;
}

const MAX_VLAN = 4094;

function choice<T extends Readonly<Record<string, number>>>(known: T, text: string, refuse: () => string): number {
  const value = known[text];
  if (value === undefined) throw new DhowError("invalid", refuse());
  return value;
}

/** Reads the options of a network of a kind. @throws invalid in docker's words */
function settingsOf(kind: LanKind, { options, isInternal }: Pick<NetworkRequest, "options" | "isInternal">): LanSettings {
  const given = options["parent"] ?? "";
  if (given === "lo") throw new DhowError("invalid", `loopback interface is not a valid ${kind} parent link`);
  const parent = given === "" || isInternal ? undefined : given;
  if (kind === "macvlan") {
    const text = options["macvlan_mode"] || "bridge";
    const mode = choice(
      MACVLAN_MODE,
      text,
      () => `requested macvlan mode '${text}' is not valid, 'bridge' mode is the macvlan driver default`,
    );
    return { parent, mode, flag: 0, isRouted: false };
  }
  const text = options["ipvlan_mode"] || "l2";
  const mode = choice(IPVLAN_MODE, text, () => `requested ipvlan mode '${text}' is not valid, 'l2' mode is the ipvlan driver default`);
  const flagText = options["ipvlan_flag"] || "bridge";
  const flag = choice(
    IPVLAN_FLAG,
    flagText,
    () => `requested ipvlan flag '${flagText}' is not valid, 'bridge' is the ipvlan driver default`,
  );
  return { parent, mode, flag, isRouted: text !== "l2" };
}

/** Containers on a network of the host's own link: docker's drivers `macvlan` and `ipvlan`. */
export class LanDriver implements NetworkDriver {
  readonly name: LanKind;
  readonly scope = "local";
  readonly #deps: LanDeps;
  /** Parent links that networks have, by network id. */
  readonly #parents: Map<string, { readonly network: string; readonly parent: string }> = new Map();

  constructor(kind: LanKind, deps: LanDeps) {
    this.name = kind;
    this.#deps = deps;
  }

  check(request: NetworkRequest): void {
    const { parent } = settingsOf(this.name, request);
    if (parent === undefined) return;
    for (const other of this.#parents.values()) {
      if (other.parent === parent) throw new DhowError("forbidden", `network ${other.network} is already using parent interface ${parent}`);
    }
    if (findLink(this.#deps.route, parent) === undefined) vlanOf(this.name, parent);
  }

  /** It would be a host of the network below, which nobody here makes. */
  needsNoGateway(): boolean {
    return true;
  }

  open(config: NetworkConfig): DriverNetwork {
    const settings = settingsOf(this.name, config);
    const parent = this.#ensureParent(settings.parent ?? `dm-${config.id.slice(0, 12)}`, settings.parent === undefined);
    this.#parents.set(config.id, { network: config.name, parent: parent.name });
    return new LanNetwork({ kind: this.name, config, settings, parent, deps: this.#deps, onRemove: () => this.#parents.delete(config.id) });
  }

  /** The link below; a dummy, or one of a VLAN that is not there yet, is made, and is then ours to remove. */
  #ensureParent(name: string, isDummy: boolean): Link {
    const { route, table } = this.#deps;
    const found = findLink(route, name);
    if (found !== undefined) {
      if (!found.isUp) route.request(setLink(found.index, { up: true }));
      return found;
    }
    if (isDummy) {
      const [failed] = route.requestAll([addDummy({ name })]);
      // a bridge without ports leads nowhere, too
      if (isErrno(failed, "EOPNOTSUPP")) route.request(addBridge({ name }));
      else if (failed !== undefined) throw failed;
    } else {
      const { lower, id } = vlanOf(this.name, name);
      const below = findLink(route, lower);
      if (below === undefined)
        throw new DhowError("invalid", `failed to find master interface ${lower} on the Docker host: Link not found`);
      explained("vlan", () => route.request(addVlan({ name, parent: below.index, id })));
    }
    const made = findLink(route, name);
    if (made === undefined) throw new DhowError("conflict", `use ${JSON.stringify(name)} as the parent: somebody else deleted it`);
    table.putBridge(name, made.mac);
    route.request(setLink(made.index, { up: true }));
    return made;
  }
}

/** Takes `eth0.10` apart. @throws invalid in docker's words */
function vlanOf(kind: LanKind, name: string): { readonly lower: string; readonly id: number } {
  const at = name.lastIndexOf(".");
  const [lower, id] = [name.slice(0, Math.max(0, at)), Number(name.slice(at + 1))];
  if (at <= 0 || !Number.isInteger(id)) {
    throw new DhowError("invalid", `invalid subinterface vlan name ${name}, example formatting is eth0.10`);
  }
  if (id < 1 || id > MAX_VLAN)
    throw new DhowError("invalid", `vlan id must be between 1-${MAX_VLAN}, received: ${id} (${kind} parent ${name})`);
  return { lower, id };
}

/** What the kernel says of a kind of link that it does not have is no help. */
function explained(kind: string, work: () => void): void {
  try {
    work();
  } catch (cause) {
    if (!isErrno(cause, "EOPNOTSUPP")) throw cause;
    throw new DhowError(
      "unsupported",
      `make a ${kind} link: this host's kernel has no such links; load its module ${kind === "vlan" ? "8021q" : kind}`,
      { cause },
    );
  }
}

const UNNAMED_PREFIX = "lan";
/** Name of an interface that has not got its own yet. */
export const UNNAMED = /^lan[0-9a-f]{10}$/;

interface LanParts {
  readonly kind: LanKind;
  readonly config: NetworkConfig;
  readonly settings: LanSettings;
  readonly parent: Link;
  readonly deps: LanDeps;
  readonly onRemove: () => void;
}

class LanNetwork implements DriverNetwork {
  readonly addresses: LocalAddresses;
  readonly publishesPorts = false;
  readonly #parts: LanParts;

  constructor(parts: LanParts) {
    this.#parts = parts;
    this.addresses = new LocalAddresses(parts.config.pools, { reclaim: parts.deps.reclaim, network: parts.config });
  }

  get links(): readonly string[] {
    return [this.#parts.parent.name];
  }

  gateway(family: Family): string | undefined {
    const { config, settings } = this.#parts;
    if (config.isInternal || settings.parent === undefined) return undefined;
    const pool = config.pools.find(({ subnet }) => subnet.includes(":") === (family === 6));
    if (pool === undefined) return undefined;
    return settings.isRouted ? "" : pool.gateway || undefined;
  }

  plug({ netns, interfaceName: name, addresses, mac }: PlugRequest): Plugged {
    const { kind, settings, parent, deps } = this.#parts;
    if (kind === "ipvlan" && mac !== undefined) {
      throw new DhowError("invalid", "ipvlan interfaces do not support custom mac address assignment");
    }
    // kernels before 6.15 look on the host whether its name and its index are taken: a name of nobody's, and the kernel's index
    const own = `${UNNAMED_PREFIX}${randomBytes(5).toString("hex")}`;
    const link = { name: own, parent: parent.index, netnsFd: netns.fd, mac: kind === "ipvlan" ? undefined : (mac ?? macFor(addresses)) };
    const { mode, flag } = settings;
    // the link is made in the sandbox, and by the host's socket: its parent is there
    const request: Request = kind === "macvlan" ? addMacvlan({ ...link, mode }) : addIpvlan({ ...link, mode, flag });
    return insideNetns(deps.home, netns.fd, () => {
      setIpv6("default", false);
      try {
        explained(kind, () => deps.route.request(request));
      } finally {
        setIpv6("default", true);
      }
      using inside = new NetlinkSocket(NETLINK.ROUTE, { receiveBytes: 8192 });
      const made = findLink(inside, own);
      let current = own;
      try {
        inside.request(setLink(made?.index ?? 0, { name }));
        current = name;
        if (addresses[6] !== undefined) setIpv6(name, true);
        const places = [addresses[4], addresses[6]].flatMap((a) =>
          a === undefined ? [] : addIpAddress(made?.index ?? 0, ipBytes(parseIp(a.address)), a.prefixLength),
        );
        inside.request(...places, setLink(made?.index ?? 0, { up: true }));
        return { mac: kind === "ipvlan" ? "" : (made?.mac ?? "") };
      } catch (error) {
        inside.requestAll([deleteLink(current)]);
        throw error;
      }
    });
  }

  unplug(endpoint: PluggedEndpoint, { isSandboxGone, netns }: { readonly isSandboxGone: boolean; readonly netns: Fd | undefined }): void {
    if (!isSandboxGone && netns !== undefined) {
      insideNetns(this.#parts.deps.home, netns.fd, () => {
        using inside = new NetlinkSocket(NETLINK.ROUTE, { receiveBytes: 8192 });
        const [failed] = inside.requestAll([deleteLink(endpoint.interfaceName)]);
        if (failed !== undefined && !isErrno(failed, "ENODEV")) throw failed;
      });
    }
    for (const a of [endpoint.addresses[4], endpoint.addresses[6]]) if (a !== undefined) this.addresses.free(parseIp(a.address));
  }

  adopt({ addresses }: PluggedEndpoint): void {
    for (const a of [addresses[4], addresses[6]]) if (a !== undefined) this.addresses.mark(parseIp(a.address));
  }

  close(): void {}

  remove(): Removal {
    const { deps, parent, onRemove } = this.#parts;
    onRemove();
    if (deps.table.bridgeMac(parent.name) === undefined) return "removed";
    const [failed] = deps.route.requestAll([deleteLink(parent.name)]);
    if (failed !== undefined && !isErrno(failed, "ENODEV")) throw failed;
    deps.table.removeBridge(parent.name);
    return "removed";
  }
}

/** Docker's choice: 02:42 and the bytes of the IPv4 address; without one, the kernel's. */
function macFor(addresses: PlugRequest["addresses"]): Uint8Array | undefined {
  return addresses[4] === undefined ? undefined : Uint8Array.from([2, 0x42, ...ipBytes(parseIp(addresses[4].address))]);
}
