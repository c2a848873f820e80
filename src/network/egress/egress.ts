import { DhowError, type Logger } from "../../lib/mod.ts";
import { flushFlowsOf, isErrno, type NetlinkSocket, type TableChange } from "../../linux/mod.ts";
import type { EgressPolicy } from "../../spec/engine/mod.ts";
import type { ForwardedAnswer, SandboxDnsOptions } from "../dns/types.ts";
import { formatIp, ipBytes, ipOfBytes, parseIp } from "../ip.ts";
import type { WatchedTables } from "../table-watch.ts";
import { DenialLog, type DeniedFrame, type DeniedPacket } from "./denial-log.ts";
import { allowsEverything, allowsName } from "./domains.ts";
import { isMetadata, type PolicedPlace, placeElements, RECORD_MS } from "./egress-table.ts";
import { KernelTables } from "./kernel-tables.ts";
import { canBeNamed, forgetExpired, type Opened, openedChanges, openedKey, readOpened } from "./opened.ts";
import { ipProtocolName } from "./protocols.ts";
import { type RefusedName, RefusedNames } from "./refused.ts";
import { type EgressReport, readReport } from "./report.ts";

/** A name's address stays open for so long at least: clients keep what they have looked up for longer than they are told. */
const MIN_TTL_MS = 60_000;
const MAX_TTL_MS = 24 * 3600 * 1000;
/** So many addresses of names one container may have. */
const MAX_NAMED = 4096;
const DENIED = "denied by the egress policy";

/** A place with what it is held to. */
interface HeldPlace extends PolicedPlace {
  readonly policy: EgressPolicy;
}

interface Policed {
  readonly containerId: string;
  policy: EgressPolicy;
  places: readonly HeldPlace[];
  readonly opened: Map<string, Opened>;
  readonly refused: RefusedNames;
}

/** What a policy denied, or would have: a name, or a destination with the names by which the container came to it. */
export type EgressDenied =
  | { readonly kind: "name"; readonly name: string }
  | (Omit<DeniedPacket, "source"> & { readonly kind: "packet"; readonly names: readonly string[] });

export interface EgressDeps {
  /** Name of the tables. */
  readonly tableName: string;
  readonly netfilter: NetlinkSocket;
  readonly log: Logger;
  /** Name of an interface of the host. */
  readonly interfaceName: (index: number) => string | undefined;
  /** Told what a container may not reach, when it tries: each name once, a destination once in a while, all of it at a limited rate. */
  readonly onDenied?: ((containerId: string, denial: EgressDenied) => void) | undefined;
  /** Writes down what `refused` tells of a container. */
  readonly record?: ((containerId: string) => void) | undefined;
}

/** A container under a policy after a restart of the daemon. */
export interface RestoredPolicy {
  readonly containerId: string;
  readonly policy: EgressPolicy;
  readonly places: readonly PolicedPlace[];
  readonly refused: readonly RefusedName[];
}

/** The egress policies of containers: what they say is in the kernel, and holds whether a daemon runs or not. */
export class Egress implements WatchedTables {
  readonly purpose = "egress policies";
  /** Name of the tables. */
  readonly name: string;
  readonly #deps: EgressDeps;
  readonly #kernel: KernelTables;
  readonly #policed = new Map<string, Policed>();
  /** Places of containers that have ended, until their interface is gone; by that. */
  readonly #leaving = new Map<string, HeldPlace>();
  readonly #denials: DenialLog;

  constructor(deps: EgressDeps) {
    this.#deps = deps;
    this.name = deps.tableName;
    this.#denials = new DenialLog({
      log: deps.log,
      onPacket: (packet) => this.#onDenied(packet),
      onFrame: (frame) => this.#onFrame(frame),
    });
    this.#kernel = new KernelTables(deps.tableName, deps.netfilter);
  }

  /** Makes the tables where they are not, in the namespace that this thread is in: the host's. Before `add`. @throws unavailable */
  prepare(): void {
    if (!this.#kernel.isWhole()) this.install();
    this.#readDenials();
  }

  #readDenials(): void {
    this.#denials.open(this.#kernel.logGroup, () => this.#kernel.isLogging());
  }

  /**
   * Holds a container to its policy at a place, which carries nothing of it yet. This thread may be in the container's namespace.
   * @throws {NetlinkError} nothing holds then, and the container must not run
   */
  add(containerId: string, policy: EgressPolicy, place: PolicedPlace): void {
    const policed = this.#policed.get(containerId) ?? this.#made({ containerId, policy, places: [], refused: [] });
    this.#kernel.commit([...this.#kernel.changes("put", placeElements(policy, place)), ...this.#openedChanges(policed, place.addresses)]);
    // what began before it is not to pass as something that it has let pass
    this.#forgetFlows(place.addresses);
    policed.places = [...policed.places, { ...place, policy }];
    this.#policed.set(containerId, policed);
  }

  #made({ containerId, policy, places, refused }: RestoredPolicy): Policed {
    const held = places.map((place) => ({ ...place, policy }));
    const names = new RefusedNames(refused, () => this.#record(containerId));
    return { containerId, policy, places: held, opened: new Map(), refused: names };
  }

  #record(containerId: string): void {
    try {
      this.#deps.record?.(containerId);
    } catch (error) {
      this.#deps.log.warn("names that an egress policy refused can't be written down", { container: containerId, error });
    }
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
    if (!this.isNeeded()) this.#denials.close();
    const elements = placeElements(place.policy, place);
    // what is put first can be deleted, there or not
    try {
      this.#kernel.commit([
        ...this.#kernel.changes("put", elements),
        ...this.#kernel.changes("delete", elements),
        ...this.#kernel.forgetting(place.addresses),
      ]);
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
    for (const policed of restored) this.#policed.set(policed.containerId, this.#made(policed));
    const isThere = this.#kernel.isWhole();
    if (restored.length === 0 && !isThere) return;
    // another version's table is replaced
    for (const policed of this.#policed.values()) this.#readOpened(policed);
    if (!isThere) this.#kernel.make();
    const wanted = this.#places().map((place) => placeElements(place.policy, place));
    this.#kernel.commit([...wanted.flatMap((elements) => this.#kernel.changes("put", elements)), ...this.#kernel.strays(wanted)]);
    if (restored.length > 0) this.#readDenials();
    if (!isThere) for (const policed of this.#policed.values()) this.#kernel.commit(this.#openedChanges(policed, addressesOf(policed)));
  }

  /** Whether any container is held to a policy. */
  isNeeded(): boolean {
    return this.#places().length > 0;
  }

  /** Whether the kernel has the tables; nobody needs them where no container is held to a policy. @throws {NetlinkError} */
  isWhole(): boolean {
    return !this.isNeeded() || this.#kernel.isWhole();
  }

  /** Ends this daemon's part; policies hold. */
  close(): void {
    this.#denials.close();
    for (const { refused } of this.#policed.values()) refused.flush();
  }

  /** Makes the tables anew after somebody took them away. */
  install(): void {
    this.#kernel.make();
    this.#kernel.commit(this.#places().flatMap((place) => this.#kernel.changes("put", placeElements(place.policy, place))));
    for (const policed of this.#policed.values()) this.#kernel.commit(this.#openedChanges(policed, addressesOf(policed)));
  }

  #places(): HeldPlace[] {
    return [...[...this.#policed.values()].flatMap(({ places }) => places), ...this.#leaving.values()];
  }

  /** Whether all that is to hold does; what the kernel lacks of it as text. */
  missing(): string[] {
    const all = this.#places().map((place) => placeElements(place.policy, place));
    if (all.length === 0) return [];
    if (!this.#kernel.isWhole()) return ["the nft table of egress policies is not whole"];
    return this.#kernel.missing(all);
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

  #refuse(policed: Policed, name: string): void {
    if (policed.refused.note(name)) this.#tell(policed, { kind: "name", name });
  }

  /** The names that a container was refused. */
  refused(containerId: string): RefusedName[] {
    return this.#policed.get(containerId)?.refused.list() ?? [];
  }

  #onDenied({ source, ...packet }: DeniedPacket): void {
    const policed = [...this.#policed.values()].find((one) => addressesOf(one).includes(source));
    if (policed === undefined) return;
    const names = [...policed.opened.values()].flatMap((opened) => (opened.address === packet.address ? [...opened.names] : []));
    this.#tell(policed, { kind: "packet", ...packet, names: [...new Set(names)] });
  }

  #onFrame({ port, ...frame }: DeniedFrame): void {
    const name = this.#deps.interfaceName(port);
    const policed = [...this.#policed.values()].find(({ places }) => places.some(({ hostInterface }) => hostInterface === name));
    if (policed !== undefined) this.#deps.log.info(DENIED, { container: policed.containerId, ...frame });
  }

  #tell({ containerId, policy, refused }: Policed, denial: EgressDenied): void {
    const { log, onDenied } = this.#deps;
    const fields = denial.kind === "name" ? { name: denial.name } : packetFields(denial);
    const hasPassed = policy.mode === "learn" && !(denial.kind === "packet" && isMetadata(denial.address));
    log.info(hasPassed ? "not in the egress policy" : DENIED, { container: containerId, ...fields });
    // the kernel limits packets by a rate of its own
    if (denial.kind === "name" || refused.mayTell()) onDenied?.(containerId, denial);
  }

  /** Opens the addresses of a name for a container, before it hears of them. False: it must not. */
  #open(containerId: string, { name, addresses, ttlSeconds }: ForwardedAnswer): boolean {
    const policed = this.#policed.get(containerId);
    if (policed === undefined) return false;
    const set = allowsName(policed.policy, name) ? "names" : "seen";
    // who may reach everything needs nothing opened
    if (set === "seen" && policed.policy.mode === "enforce") return true;
    const lifeMs = set === "seen" ? RECORD_MS : Math.min(Math.max(ttlSeconds * 1000, MIN_TTL_MS), MAX_TTL_MS);
    const changed: Opened[] = [];
    for (const ip of addresses.map(ipOfBytes).filter(canBeNamed)) {
      const address = formatIp(ip);
      const key = openedKey({ set, address });
      const known = policed.opened.get(key);
      if (known === undefined && policed.opened.size >= MAX_NAMED && !forgetExpired(policed.opened)) return false;
      const needed = Date.now() + lifeMs;
      if (known?.names.has(name) && known.until >= needed) continue;
      // some more, so that not every answer is a change
      const until = Math.max(known?.until ?? 0, needed + lifeMs / 2);
      changed.push({ set, address, names: new Set([...(known?.names ?? []), name]), until });
    }
    if (changed.length === 0) return true;
    this.prepare();
    this.#kernel.commit([this.#kernel.inet(openedChanges(changed, addressesOf(policed), true))]);
    for (const opened of changed) policed.opened.set(openedKey(opened), opened);
    return true;
  }

  /** The names that a container knows, for one more of its addresses. */
  #openedChanges({ opened }: Policed, sources: readonly string[]): TableChange[] {
    forgetExpired(opened);
    return [this.#kernel.inet(openedChanges(opened.values(), sources, true))];
  }

  /** What the kernel still has open for a container. */
  #readOpened(policed: Policed): void {
    const own = new Set(addressesOf(policed));
    for (const set of ["seen", "names"] as const) {
      for (const element of [...this.#kernel.listIfThere(`${set}4`), ...this.#kernel.listIfThere(`${set}6`)]) {
        const opened = readOpened(set, element, own);
        if (opened !== undefined) policed.opened.set(openedKey(opened), opened);
      }
    }
  }

  /** What a container did under its policy; undefined: it is under none. @throws {NetlinkError} */
  report(containerId: string): EgressReport | undefined {
    const policed = this.#policed.get(containerId);
    if (policed === undefined) return undefined;
    return readReport({
      policy: policed.policy,
      addresses: addressesOf(policed),
      refused: policed.refused.list(),
      list: (set) => this.#kernel.list("inet", set),
    });
  }

  /** Another policy for a running container, in one transaction. What it has open is judged anew. @throws {NetlinkError} */
  change(containerId: string, policy: EgressPolicy): void {
    const policed = this.#policed.get(containerId);
    if (policed === undefined) throw new DhowError("conflict", `container ${containerId} is under no egress policy`);
    const { places } = policed;
    const stale = [...policed.opened.values()].filter(
      ({ set, names }) => set === "names" && ![...names].some((name) => allowsName(policy, name)),
    );
    this.#kernel.commit([
      ...places.flatMap((place) => this.#kernel.changes("put", placeElements(place.policy, place))),
      ...places.flatMap((place) => this.#kernel.changes("delete", placeElements(place.policy, place))),
      ...places.flatMap((place) => this.#kernel.changes("put", placeElements(policy, place))),
      this.#kernel.inet(openedChanges(stale, addressesOf(policed), false)),
    ]);
    policed.policy = policy;
    policed.places = places.map((place) => ({ ...place, policy }));
    for (const opened of stale) policed.opened.delete(openedKey(opened));
    this.#forgetFlows(addressesOf(policed));
  }

  #forgetFlows(addresses: readonly string[]): void {
    for (const address of addresses) flushFlowsOf(this.#deps.netfilter, ipBytes(parseIp(address)), "origin");
  }

  /** Removes the tables. */
  uninstall(): void {
    this.#kernel.uninstall();
  }
}

function addressesOf({ places }: Policed): string[] {
  return places.flatMap(({ addresses }) => addresses);
}

function packetFields({ address, protocol, port, names }: EgressDenied & { readonly kind: "packet" }): Readonly<Record<string, unknown>> {
  return { protocol: ipProtocolName(protocol), address, ...(port !== 0 && { port }), ...(names.length > 0 && { names: names.join(" ") }) };
}
