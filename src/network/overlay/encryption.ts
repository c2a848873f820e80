import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { DhowError, errorMessage, type Logger } from "../../lib/mod.ts";
import {
  addEspPolicy,
  addEspState,
  deleteEspPolicy,
  deleteEspState,
  type EspPolicy,
  type EspState,
  isErrno,
  type ListedPolicy,
  type ListedState,
  listEspStates,
  NETLINK,
  NetlinkSocket,
  replaceEspPolicy,
} from "../../linux/mod.ts";
import { ipBytes, parseIp } from "../ip.ts";
import type { Cluster } from "./cluster.ts";
import { type EspMarks, type EspPlan, type EspSession, espPlan, espReqid } from "./esp.ts";
import type { OverlayGuard } from "./guard.ts";
import { KeyRotation } from "./key-rotation.ts";
import { claimPorts, policiesOf } from "./port-claim.ts";

/** Somebody may take states away, as `ip xfrm state flush` does: so often it is looked. */
const LOOK_MS = 10_000;
/** So long a container waits for the first keys. */
const KEYS_MS = 5000;
const SESSIONS = "sessions/";

export interface EncryptionDeps {
  readonly cluster: Cluster;
  readonly guard: OverlayGuard;
  readonly log: Logger;
  readonly rotationSeconds: number;
}

const idOf = ({ destination, spi }: Pick<ListedState, "destination" | "spi">): string => `${destination} ${spi}`;
const flowOf = ({ flow }: EspPolicy): string => `${flow.family} ${flow.source} ${flow.destination} ${flow.sourcePort}`;

/**
 * IPsec between the hosts, for the VXLAN packets of encrypted networks. Such a network sends from UDP ports of its own; what leaves by
 * them passes a policy, in transport mode of ESP, or doesn't leave. So it is in the kernel, with the daemon or without it.
 *
 * Each host tells the others in etcd, while it has encrypted networks:
 *
 *     <root>/keys                   {"previous", "current", "next"}: {"id", "secret"}
 *     <root>/rotation               gone when the keys are to be rotated       under a lease of its own
 *     <root>/sessions/<host id>     {"host", "vtep", "nonce"}                  leased
 *
 * A state's key and SPI come out of a key of the ring, both hosts' addresses and nonces, and its direction. A host has another nonce when
 * its kernel lost a state that it sends under, and when the others lost sight of it: the sequence numbers of a state never begin again under
 * the same key.
 */
export class Encryption {
  readonly #reqid: number;
  readonly #deps: EncryptionDeps;
  readonly #keys: KeyRotation;
  readonly #listening: Disposable;
  /** VNIs of encrypted networks that this host has, by network id. */
  readonly #networks = new Map<string, number>();
  /** Once there is an encrypted network. */
  #marks: EspMarks | undefined;
  #xfrm: NetlinkSocket | undefined;
  #isSupported = false;
  #session: EspSession | undefined;
  /** States that were made to send under, since the nonce is this one. */
  readonly #made = new Set<string>();
  #isLooking = false;
  #timer: ReturnType<typeof setInterval> | undefined;
  #lastFault = "";

  constructor(deps: EncryptionDeps) {
    this.#deps = deps;
    const { cluster, log, rotationSeconds } = deps;
    this.#reqid = espReqid(cluster.hostId);
    this.#keys = new KeyRotation(cluster, log, {
      rotationSeconds,
      onChange: () => this.#lookSoon(),
      isWanted: () => this.#networks.size > 0,
    });
    const own = SESSIONS + cluster.hostId;
    this.#listening = cluster.listen((key, value) => {
      if (key === own && value !== undefined) this.#takeUp(value);
      // to the others this host was gone: none of the states that they took away may begin anew under its key
      else if (key === own && this.#session !== undefined) this.#renew();
      if (key.startsWith(SESSIONS)) this.#lookSoon();
    });
  }

  /**
   * Says whether the kernel can do it, by a state that is taken away at once.
   * @throws unsupported in docker's words, and what is missing
   */
  check(): void {
    if (this.#isSupported) return;
    const place = ipBytes(parseIp(this.#deps.cluster.vtep));
    const spi = randomBytes(4).readUInt32BE() | 0x10000;
    const probe = { source: place, destination: place, spi: spi >>> 0, key: randomBytes(20), reqid: this.#reqid, replayWindow: 32 };
    try {
      const xfrm = this.#socket();
      xfrm.request(addEspState(probe));
      xfrm.request(deleteEspState(probe));
      this.#isSupported = true;
    } catch (cause) {
      const missing = `the modules ${place.length === 4 ? "esp4" : "esp6"}, gcm and xfrm_user of the kernel are needed`;
      throw new DhowError(
        "unsupported",
        `cannot join secure network: required modules to install IPSEC rules are missing on host: ${missing} (${errorMessage(cause)}); nothing is sent unencrypted`,
        { cause },
      );
    }
  }

  #socket(): NetlinkSocket {
    this.#xfrm ??= new NetlinkSocket(NETLINK.XFRM);
    return this.#xfrm;
  }

  /**
   * From now on no packet of a network passes in the clear; to be called before it has a link. Returns the ports that it has to send from.
   * @throws unsupported, unavailable
   */
  add(networkId: string, vni: number): { readonly first: number; readonly end: number } {
    const { cluster, guard } = this.#deps;
    this.#networks.set(networkId, vni);
    guard.add(vni, this.#reqid);
    this.check();
    this.#marks ??= claimPorts(this.#socket(), cluster.hostId, cluster.vtep);
    const { firstPort: first, count } = this.#marks;
    if (cluster.isReached) this.synced();
    return { first, end: first + count };
  }

  /** A network has no link on this host any more; one that is not encrypted: nothing. @throws unavailable {NetlinkError} */
  remove(networkId: string): void {
    const vni = this.#networks.get(networkId);
    if (vni === undefined) return;
    this.#networks.delete(networkId);
    this.#deps.guard.remove(vni);
    if (this.#networks.size === 0) void this.#leave();
  }

  /** Waits for keys: the first network's are made a moment after it. @throws unavailable in docker's words, when there are none */
  async ready(): Promise<void> {
    if (this.#keys.ring !== undefined) return;
    const arrived = Promise.withResolvers<void>();
    using _ = this.#deps.cluster.listen(() => this.#keys.ring !== undefined && arrived.resolve());
    this.#keys.turnWhenDue();
    await Promise.race([arrived.promise, sleep(KEYS_MS, undefined, { ref: false })]);
    if (this.#keys.ring === undefined) throw new DhowError("unavailable", "cannot join secure network: encryption keys not present");
  }

  /** What the last daemon left of networks that are gone goes; to be called once those that are there were added. @throws unavailable {NetlinkError} */
  settle(): void {
    this.#deps.guard.settle();
    if (this.#networks.size === 0) this.clear();
  }

  /** This host has all that is in etcd. */
  synced(): void {
    if (this.#networks.size === 0) return;
    this.#timer ??= setInterval(() => {
      if (this.#deps.cluster.isReached) this.#keys.turnWhenDue();
      this.#lookSoon();
    }, LOOK_MS).unref();
    this.#keys.turnWhenDue();
    if (this.#session === undefined) this.#renew();
    this.#lookSoon();
  }

  /** The session of the last daemon goes on where the kernel has its states. */
  #takeUp(text: string): void {
    if (this.#session !== undefined || this.#networks.size === 0) return;
    const session = JSON.parse(text) as EspSession;
    const states = this.#states();
    if (session.vtep !== this.#deps.cluster.vtep || states.length === 0) return;
    this.#session = session;
    for (const state of states) this.#made.add(idOf(state));
    this.#deps.cluster.hold(SESSIONS + session.host, text);
  }

  #renew(): void {
    const { hostId: host, vtep } = this.#deps.cluster;
    this.#session = { host, vtep, nonce: randomBytes(16).toString("hex") };
    this.#made.clear();
    this.#deps.cluster.hold(SESSIONS + host, JSON.stringify(this.#session));
  }

  async #leave(): Promise<void> {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#session = undefined;
    this.clear();
    await this.#deps.cluster.release(SESSIONS + this.#deps.cluster.hostId);
  }

  /** After what is being told now has been told whole. */
  #lookSoon(): void {
    if (this.#isLooking) return;
    this.#isLooking = true;
    queueMicrotask(() => {
      this.#isLooking = false;
      try {
        this.#look();
        this.#lastFault = "";
      } catch (error) {
        const text = errorMessage(error);
        if (text !== this.#lastFault) this.#deps.log.error("can't encrypt for every host: nothing is sent to those", { error });
        this.#lastFault = text;
      }
    });
  }

  /** Makes the kernel have what is needed for the hosts that are there. Without keys, what the last daemon left stays as it is. */
  #look(): void {
    const { ring } = this.#keys;
    if (this.#networks.size === 0 || this.#session === undefined || this.#marks === undefined || ring === undefined) return;
    const plan = espPlan(ring, this.#session, this.#peers(), this.#marks);
    const states = new Map(this.#states().map((state) => [idOf(state), state]));
    if (plan.outbound.some((state) => this.#made.has(idOf(state)) && !states.has(idOf(state)))) {
      this.#deps.log.warn("the kernel lost states of IPsec: new ones are agreed on");
      this.#renew();
      return;
    }
    this.#program(plan, states);
  }

  /** What is received under is there before anybody sends under it; what was sent under goes when nobody does any more. @throws {NetlinkError} */
  #program({ inbound, outbound, policies }: EspPlan, states: ReadonlyMap<string, ListedState>): void {
    const xfrm = this.#socket();
    const isMissing = (state: EspState): boolean => !states.has(idOf(state));
    const failed = xfrm.requestAll([...inbound, ...outbound].filter(isMissing).map(addEspState));
    for (const state of outbound) this.#made.add(idOf(state));
    const present = new Map(policiesOf(xfrm, this.#reqid).map((policy) => [flowOf(policy), policy]));
    const changed = policies.filter((policy) => !isSame(policy, present.get(flowOf(policy))));
    failed.push(...xfrm.requestAll(changed.map((policy) => (present.has(flowOf(policy)) ? replaceEspPolicy : addEspPolicy)(policy))));
    const wantedFlows = new Set(policies.map(flowOf));
    const wantedStates = new Set([...inbound, ...outbound].map(idOf));
    const stale = [
      ...[...present.values()].filter((policy) => !wantedFlows.has(flowOf(policy))).map(({ index }) => deleteEspPolicy(index)),
      ...[...states.values()].filter((state) => !wantedStates.has(idOf(state))).map(deleteEspState),
    ];
    failed.push(...xfrm.requestAll(stale).filter((error) => !isErrno(error, "ENOENT", "ESRCH")));
    for (const error of failed) if (error !== undefined) throw error;
  }

  /** The other hosts that have encrypted networks. */
  #peers(): EspSession[] {
    const { cluster } = this.#deps;
    const peers = new Map<string, EspSession>();
    for (const [, text] of cluster.entries(SESSIONS)) {
      const session = JSON.parse(text) as EspSession;
      // two hosts can't have one address: whoever has this one's gets nothing
      if (session.host !== cluster.hostId && session.vtep !== cluster.vtep) peers.set(session.vtep, session);
    }
    return [...peers.values()];
  }

  #states(): ListedState[] {
    return listEspStates(this.#socket()).filter(({ reqid }) => reqid === this.#reqid);
  }

  /** Takes this daemon's states and policies out of the kernel; others' stay. */
  clear(): void {
    try {
      const policies = policiesOf(this.#socket(), this.#reqid).map(({ index }) => deleteEspPolicy(index));
      this.#socket().requestAll([...policies, ...this.#states().map(deleteEspState)]);
    } catch (error) {
      // a kernel without IPsec has none
      this.#deps.log.debug("can't look for states of IPsec", { error: errorMessage(error) });
    }
    this.#made.clear();
    this.#marks = undefined;
  }

  /** Ends this daemon's part: what is in the kernel stays. */
  close(): void {
    clearInterval(this.#timer);
    this.#keys[Symbol.dispose]();
    this.#listening[Symbol.dispose]();
    this.#xfrm?.[Symbol.dispose]();
    this.#xfrm = undefined;
  }
}

function isSame(wanted: EspPolicy, present: ListedPolicy | undefined): boolean {
  if (present === undefined) return false;
  const { transform } = present;
  return present.priority === wanted.priority && transform?.spi === wanted.transform?.spi && transform?.reqid === wanted.transform?.reqid;
}
