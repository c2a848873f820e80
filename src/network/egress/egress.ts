import { DhowError, type Logger } from "../../lib/mod.ts";
import {
  changeTables,
  deleteTable,
  flushFlowsOf,
  hasChain,
  isErrno,
  type ListedElement,
  listElements,
  type NetlinkSocket,
  NFPROTO,
  type NftTable,
  type SetChange,
  type SetElement,
  type TableChange,
} from "../../linux/mod.ts";
import type { EgressPolicy } from "../../spec/engine/mod.ts";
import type { ForwardedAnswer, SandboxDnsOptions } from "../dns/types.ts";
import { runNft } from "../firewall.ts";
import { type Family, formatIp, hasIp, ipBytes, ipOfBytes, parseIp, parsePrefix } from "../ip.ts";
import { allowsEverything, allowsName } from "./domains.ts";
import {
  type EgressElements,
  egressVersion,
  isMetadata,
  LIVE_SETS,
  type PolicedPlace,
  placeElements,
  RECORD_MS,
  renderEgress,
} from "./egress-table.ts";
import { type EgressReport, readReport } from "./report.ts";

/** A name's address stays open for so long at least: clients keep what they have looked up for longer than they are told. */
const MIN_TTL_MS = 60_000;
const MAX_TTL_MS = 24 * 3600 * 1000;
/** So many addresses of names, and names that were refused, one container may have. */
const MAX_NAMED = 4096;
const MAX_REFUSED = 256;
const MAX_COMMENT_BYTES = 250;
const MAX_COMMENT_NAMES = 8;

/** What a name never stands for, whoever says so: the daemon's host and its neighbours on the wire. */
const NEVER_NAMED = ["0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "::/127", "fe80::/10", "ff00::/8", "::ffff:0:0/96"].map(
  parsePrefix,
);

/** A name that was refused. */
export interface RefusedName {
  readonly name: string;
  readonly queries: number;
  /** In ms since 1970. */
  readonly lastAt: number;
}

interface Named {
  readonly set: "names" | "seen";
  readonly names: ReadonlySet<string>;
  /** In ms since 1970. */
  readonly until: number;
}

/** A place with what it is held to. */
interface HeldPlace extends PolicedPlace {
  readonly policy: EgressPolicy;
}

interface Policed {
  readonly containerId: string;
  policy: EgressPolicy;
  places: readonly HeldPlace[];
  /** By address. */
  readonly named: Map<string, Named>;
  readonly refused: Map<string, RefusedName>;
}

export interface EgressDeps {
  /** Name of the tables. */
  readonly tableName: string;
  readonly netfilter: NetlinkSocket;
  readonly log: Logger;
  /** Told when a container asks for a name that it may not reach. */
  readonly onRefused?: ((containerId: string, name: string) => void) | undefined;
}

/** A container under a policy after a restart of the daemon. */
export interface RestoredPolicy {
  readonly containerId: string;
  readonly policy: EgressPolicy;
  readonly places: readonly PolicedPlace[];
}

const familyOf = (ip: string): Family => (ip.includes(":") ? 6 : 4);
const keyOf = (...addresses: readonly string[]): Uint8Array => Uint8Array.from(addresses.flatMap((a) => [...ipBytes(parseIp(a))]));

/** The egress policies of containers: what they say is in the kernel, and holds whether a daemon runs or not. */
export class Egress {
  readonly #deps: EgressDeps;
  readonly #tables: { readonly inet: NftTable; readonly bridge: NftTable };
  readonly #policed = new Map<string, Policed>();
  /** Places of containers that have ended, until their interface is gone; by that. */
  readonly #leaving = new Map<string, HeldPlace>();

  constructor(deps: EgressDeps) {
    this.#deps = deps;
    const name = deps.tableName;
    this.#tables = { inet: { family: NFPROTO.INET, name }, bridge: { family: NFPROTO.BRIDGE, name } };
  }

  /** Makes the tables where they are not, in the namespace that this thread is in: the host's. Before `add`. @throws unavailable */
  prepare(): void {
    if (this.#isWhole()) return;
    this.reinstall();
  }

  /**
   * Holds a container to its policy at a place, which carries nothing of it yet. This thread may be in the container's namespace.
   * @throws {NetlinkError} nothing holds then, and the container must not run
   */
  add(containerId: string, policy: EgressPolicy, place: PolicedPlace): void {
    const known = this.#policed.get(containerId);
    const policed: Policed = known ?? { containerId, policy, places: [], named: new Map(), refused: new Map() };
    this.#commit([...this.#changes("put", placeElements(policy, place)), ...this.#namedChanges(policed, place.addresses)]);
    policed.places = [...policed.places, { ...place, policy }];
    this.#policed.set(containerId, policed);
  }

  /** A container has ended. Whoever still is in its sandbox is held to its policy until `remove`. */
  release(containerId: string): void {
    for (const place of this.#policed.get(containerId)?.places ?? []) this.#leaving.set(place.hostInterface, place);
    this.#policed.delete(containerId);
  }

  /** Lets go of a place whose interface is gone; one that is under no policy: nothing. @throws {NetlinkError} */
  remove(hostInterface: string): void {
    const place = this.#leaving.get(hostInterface) ?? this.#takePlace(hostInterface);
    if (place === undefined) return;
    this.#leaving.delete(hostInterface);
    const elements = placeElements(place.policy, place);
    // what is put first can be deleted, there or not
    try {
      this.#commit([...this.#changes("put", elements), ...this.#changes("delete", elements), ...this.#forgetting(place.addresses)]);
    } catch (error) {
      // somebody took the tables away
      if (!isErrno(error, "ENOENT")) throw error;
    }
  }

  #takePlace(hostInterface: string): HeldPlace | undefined {
    for (const policed of this.#policed.values()) {
      const place = policed.places.find((p) => p.hostInterface === hostInterface);
      if (place === undefined) continue;
      policed.places = policed.places.filter((p) => p !== place);
      return place;
    }
    return undefined;
  }

  /** What a running container is held to; undefined: nothing. */
  policyOf(containerId: string): EgressPolicy | undefined {
    return this.#policed.get(containerId)?.policy;
  }

  /**
   * After a restart: takes up what holds, and puts right what does not. Elements that no container has any more go.
   * @throws {NetlinkError} @throws unavailable
   */
  restore(restored: readonly RestoredPolicy[]): void {
    for (const { containerId, policy, places } of restored) {
      const held = places.map((place) => ({ ...place, policy }));
      this.#policed.set(containerId, { containerId, policy, places: held, named: new Map(), refused: new Map() });
    }
    const isThere = this.#isWhole();
    if (restored.length === 0 && !isThere) return;
    // another version's table is replaced
    for (const policed of this.#policed.values()) this.#readNamed(policed);
    if (!isThere) runNft(renderEgress(this.#deps.tableName));
    const wanted = this.#places().map((place) => placeElements(place.policy, place));
    this.#commit([...wanted.flatMap((elements) => this.#changes("put", elements)), ...this.#strays(wanted)]);
    if (!isThere) for (const policed of this.#policed.values()) this.#commit(this.#namedChanges(policed, addressesOf(policed)));
  }

  /** Whether the kernel has the tables with the rules of this version. */
  #isWhole(): boolean {
    try {
      return hasChain(this.#deps.netfilter, this.#tables.inet, egressVersion(this.#deps.tableName));
    } catch {
      return false;
    }
  }

  /** Makes the tables anew after somebody took them away. */
  reinstall(): void {
    runNft(renderEgress(this.#deps.tableName));
    this.#commit(this.#places().flatMap((place) => this.#changes("put", placeElements(place.policy, place))));
    for (const policed of this.#policed.values()) this.#commit(this.#namedChanges(policed, addressesOf(policed)));
  }

  #places(): HeldPlace[] {
    return [...[...this.#policed.values()].flatMap(({ places }) => places), ...this.#leaving.values()];
  }

  /** Whether all that is to hold does; what the kernel lacks of it as text. */
  missing(): string[] {
    const all = this.#places().map((place) => placeElements(place.policy, place));
    if (all.length === 0) return [];
    if (!this.#isWhole()) return ["the nft table of egress policies is not whole"];
    return all.flatMap((elements) => this.#missingOf(elements));
  }

  #missingOf(elements: EgressElements): string[] {
    return (["inet", "bridge"] as const).flatMap((table) =>
      (Object.entries(elements[table]) as [string, SetElement[]][]).flatMap(([set, list]) => {
        const known = new Set(this.#list(table, set).map(textOf));
        return list.some((element) => !known.has(textOf(element))) ? [`an nft element of an egress policy is missing (set ${set})`] : [];
      }),
    );
  }

  /** Elements of the kernel that are none of the wanted. */
  #strays(wanted: readonly EgressElements[]): TableChange[] {
    const sets = placeElements({ mode: "enforce", domains: [], networks: [] }, { ...NO_PLACE });
    return (["inet", "bridge"] as const).map((table) => ({
      table: this.#tables[table],
      changes: Object.keys(sets[table]).flatMap((set): SetChange[] => {
        const keep = new Set(wanted.flatMap((e) => (e[table] as Record<string, SetElement[]>)[set]?.map(textOf) ?? []));
        const elements = this.#list(table, set).filter((element) => !keep.has(textOf(element)));
        return elements.length === 0 ? [] : [{ verb: "delete", set, elements }];
      }),
    }));
  }

  #list(table: "inet" | "bridge", set: string): ListedElement[] {
    return listElements(this.#deps.netfilter, this.#tables[table], set);
  }

  #listIfThere(set: string): ListedElement[] {
    try {
      return this.#list("inet", set);
    } catch (error) {
      if (isErrno(error, "ENOENT")) return [];
      throw error;
    }
  }

  #changes(verb: "put" | "delete", elements: EgressElements): TableChange[] {
    return (["inet", "bridge"] as const).map((table) => ({
      table: this.#tables[table],
      changes: Object.entries(elements[table]).flatMap(([set, list]): SetChange[] =>
        list.length === 0 ? [] : [{ verb, set, elements: list }],
      ),
    }));
  }

  #commit(changes: readonly TableChange[]): void {
    changeTables(
      this.#deps.netfilter,
      changes.filter((change) => change.changes.length > 0),
    );
  }

  /** How the names of a container under a policy are served: those alone that it may reach. */
  dnsOptions(containerId: string): Pick<SandboxDnsOptions, "mayForward" | "onAnswer"> {
    return {
      mayForward: (name) => this.#mayAsk(containerId, name),
      onAnswer: (answer) => this.#open(containerId, answer),
    };
  }

  #mayAsk(containerId: string, name: string): boolean {
    const policed = this.#policed.get(containerId);
    if (policed === undefined) return false;
    const { policy } = policed;
    if (allowsName(policy, name) || allowsEverything(policy)) return true;
    this.#refuse(policed, name);
    return policy.mode === "learn";
  }

  #refuse({ containerId, refused }: Policed, name: string): void {
    const known = refused.get(name);
    if (known === undefined && refused.size >= MAX_REFUSED) {
      const [oldest] = refused.keys();
      refused.delete(oldest ?? "");
    }
    // the last ones come last
    refused.delete(name);
    refused.set(name, { name, queries: (known?.queries ?? 0) + 1, lastAt: Date.now() });
    if (known === undefined) this.#deps.onRefused?.(containerId, name);
  }

  /** Opens the addresses of a name for a container, before it hears of them. False: it must not. */
  #open(containerId: string, { name, addresses, ttlSeconds }: ForwardedAnswer): boolean {
    const policed = this.#policed.get(containerId);
    if (policed === undefined) return false;
    const set = allowsName(policed.policy, name) ? "names" : "seen";
    // who may reach everything needs nothing opened
    if (set === "seen" && policed.policy.mode === "enforce") return true;
    const lifeMs = set === "seen" ? RECORD_MS : Math.min(Math.max(ttlSeconds * 1000, MIN_TTL_MS), MAX_TTL_MS);
    const changed: string[] = [];
    for (const bytes of addresses) {
      const ip = ipOfBytes(bytes);
      const address = formatIp(ip);
      if (NEVER_NAMED.some((prefix) => hasIp(prefix, ip)) || isMetadata(address)) continue;
      const known = policed.named.get(address);
      if (known === undefined && policed.named.size >= MAX_NAMED && !forgetExpired(policed.named)) return false;
      const isNew = known === undefined || !known.names.has(name) || (known.set === "seen" && set === "names");
      const until = Math.max(known?.until ?? 0, Date.now() + lifeMs);
      // one that stays open for most of its time anyway
      if (!isNew && until - known.until < lifeMs / 2 && known.until - Date.now() >= MIN_TTL_MS / 2) continue;
      policed.named.set(address, { set: known?.set === "names" ? "names" : set, names: new Set([...(known?.names ?? []), name]), until });
      changed.push(address);
    }
    if (changed.length === 0) return true;
    this.prepare();
    this.#commit(this.#openings(policed, changed, addressesOf(policed)));
    return true;
  }

  #openings(policed: Policed, destinations: readonly string[], sources: readonly string[]): TableChange[] {
    const changes = destinations.flatMap((destination): SetChange[] => {
      const named = policed.named.get(destination);
      const family = familyOf(destination);
      const from = sources.filter((source) => familyOf(source) === family);
      if (named === undefined || from.length === 0) return [];
      const timeoutMs = Math.max(named.until - Date.now(), 1000);
      const comment = commentOf(named.names);
      const elements = from.map((source) => ({ key: keyOf(source, destination), timeoutMs, comment }));
      const set = `${named.set}${family}`;
      // before Linux 6.12 the time of an element that is there can't be changed; what is put first can be deleted, there or not
      return [
        { verb: "put", set, elements },
        { verb: "delete", set, elements },
        { verb: "put", set, elements },
      ];
    });
    return [{ table: this.#tables.inet, changes }];
  }

  /** The names that a container knows, for one more of its addresses. */
  #namedChanges(policed: Policed, sources: readonly string[]): TableChange[] {
    forgetExpired(policed.named);
    return this.#openings(policed, [...policed.named.keys()], sources);
  }

  /** What the kernel still has open for a container. */
  #readNamed(policed: Policed): void {
    const own = new Set(addressesOf(policed));
    for (const set of ["seen", "names"] as const) {
      for (const family of [4, 6] as const) {
        for (const { key, expiresMs, comment } of this.#listIfThere(`${set}${family}`)) {
          const [source, destination] = [key.subarray(0, key.length / 2), key.subarray(key.length / 2)].map((b) => formatIp(ipOfBytes(b)));
          if (source === undefined || destination === undefined || !own.has(source)) continue;
          policed.named.set(destination, { set, names: new Set(comment?.split(" ")), until: Date.now() + (expiresMs ?? 0) });
        }
      }
    }
  }

  /** What is remembered of addresses that are given up. */
  #forgetting(addresses: readonly string[]): TableChange[] {
    const changes = ([4, 6] as const).flatMap((family) => {
      const gone = new Set(addresses.filter((a) => familyOf(a) === family));
      if (gone.size === 0) return [];
      const size = family === 4 ? 4 : 16;
      return LIVE_SETS.flatMap((name): SetChange[] => {
        const set = `${name}${family}`;
        const elements = this.#list("inet", set).filter(({ key }) => gone.has(formatIp(ipOfBytes(key.subarray(0, size)))));
        // one may end by itself meanwhile
        return elements.length === 0
          ? []
          : [
              { verb: "put", set, elements: elements.map(({ key }) => ({ key })) },
              { verb: "delete", set, elements },
            ];
      });
    });
    return [{ table: this.#tables.inet, changes }];
  }

  /** What a container did under its policy; undefined: it is under none. @throws {NetlinkError} */
  report(containerId: string): EgressReport | undefined {
    const policed = this.#policed.get(containerId);
    if (policed === undefined) return undefined;
    return readReport({
      policy: policed.policy,
      addresses: addressesOf(policed),
      refused: [...policed.refused.values()],
      list: (set) => this.#list("inet", set),
    });
  }

  /** Another policy for a running container, in one transaction. What it has open is judged anew. @throws {NetlinkError} */
  change(containerId: string, policy: EgressPolicy): void {
    const policed = this.#policed.get(containerId);
    if (policed === undefined) throw new DhowError("conflict", `container ${containerId} is under no egress policy`);
    const { places } = policed;
    const stale = [...policed.named]
      .filter(([, { names }]) => ![...names].some((name) => allowsName(policy, name)))
      .map(([address]) => address);
    this.#commit([
      ...places.flatMap((place) => this.#changes("delete", placeElements(place.policy, place))),
      ...places.flatMap((place) => this.#changes("put", placeElements(policy, place))),
      ...this.#closings(policed, stale),
    ]);
    policed.policy = policy;
    policed.places = places.map((place) => ({ ...place, policy }));
    for (const address of stale) policed.named.delete(address);
    for (const address of addressesOf(policed)) flushFlowsOf(this.#deps.netfilter, ipBytes(parseIp(address)), "origin");
  }

  #closings(policed: Policed, destinations: readonly string[]): TableChange[] {
    const changes = this.#openings(policed, destinations, addressesOf(policed)).flatMap((change) => change.changes.slice());
    return [{ table: this.#tables.inet, changes: changes.filter((_, at) => at % 3 !== 2) }];
  }

  /** Removes the tables. */
  uninstall(): void {
    for (const table of [this.#tables.inet, this.#tables.bridge]) {
      try {
        deleteTable(this.#deps.netfilter, table);
      } catch (error) {
        if (!isErrno(error, "ENOENT", "EOPNOTSUPP", "EAFNOSUPPORT")) throw error;
      }
    }
  }
}

const NO_PLACE: PolicedPlace = { bridge: "", hostInterface: "", mac: "00:00:00:00:00:00", addresses: [], subnets: [] };

function textOf({ key, keyEnd }: { readonly key: Uint8Array; readonly keyEnd?: Uint8Array | undefined }): string {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
  return `${hex(key)}-${hex(keyEnd ?? key)}`;
}

function addressesOf({ places }: Policed): string[] {
  return places.flatMap(({ addresses }) => addresses);
}

/** As many names as fit. */
function commentOf(names: ReadonlySet<string>): string {
  let text = "";
  for (const name of [...names].slice(-MAX_COMMENT_NAMES)) {
    const longer = text === "" ? name : `${text} ${name}`;
    if (Buffer.byteLength(longer) <= MAX_COMMENT_BYTES) text = longer;
  }
  return text;
}

/** Whether anything was. */
function forgetExpired(named: Map<string, Named>): boolean {
  const before = named.size;
  for (const [address, { until }] of named) if (until < Date.now()) named.delete(address);
  return named.size < before;
}
