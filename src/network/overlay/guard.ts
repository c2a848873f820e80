import {
  changeSets,
  deleteTable,
  hasRules,
  isErrno,
  type NetlinkSocket,
  NFPROTO,
  type NftTable,
  type SetElement,
} from "../../linux/mod.ts";
import { runNft } from "../firewall.ts";
import type { WatchedTables } from "../table-watch.ts";
import { VXLAN_PORT } from "./esp.ts";

const CHAINS = ["arriving", "leaving", "sealed"] as const;
const SET = "encrypted";

/**
 * The nft table `inet <name>`, that lets no packet of an encrypted network pass in the clear: neither one that was sent so, nor one of this
 * host that no policy of IPsec took. It stands while the daemon is away, and is there before the network is.
 *
 * ```
 * set encrypted     VXLAN network identifiers
 * chain arriving    what came under a state of this daemon's passes, anything else is dropped
 * chain leaving     what is on its way to be transformed passes
 * ```
 */
export class OverlayGuard implements WatchedTables {
  readonly purpose = "encrypted overlay networks";
  readonly name: string;
  readonly #netfilter: NetlinkSocket;
  readonly #table: NftTable;
  readonly #vnis = new Set<number>();
  #reqid = 0;

  constructor(name: string, netfilter: NetlinkSocket) {
    this.name = name;
    this.#netfilter = netfilter;
    this.#table = { family: NFPROTO.INET, name };
  }

  /** Guards one more network, under states of this reqid. What the last daemon guarded stays guarded. @throws unavailable {NetlinkError} */
  add(vni: number, reqid: number): void {
    this.#reqid = reqid;
    this.#vnis.add(vni);
    if (!this.#hasTable()) this.install();
    else changeSets(this.#netfilter, this.#table, [{ verb: "put", set: SET, elements: [element(vni)] }]);
  }

  /** A network is gone from this host. @throws unavailable {NetlinkError} */
  remove(vni: number): void {
    if (this.#vnis.delete(vni)) this.settle();
  }

  /** Guards those networks that were added, and no others. @throws unavailable {NetlinkError} */
  settle(): void {
    if (this.#vnis.size > 0) this.install();
    else this.uninstall();
  }

  #hasTable(): boolean {
    return CHAINS.every((chain) => hasRules(this.#netfilter, this.#table, chain));
  }

  isWhole(): boolean {
    return this.#vnis.size === 0 || this.#hasTable();
  }

  install(): void {
    if (this.#vnis.size > 0) runNft(renderGuard(this.name, this.#reqid, [...this.#vnis]));
  }

  /** Removes the table. @throws {NetlinkError} */
  uninstall(): void {
    try {
      deleteTable(this.#netfilter, this.#table);
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw error;
    }
  }
}

/** Three bytes, padded to four. */
const element = (vni: number): SetElement => ({ key: Uint8Array.of(vni >> 16, (vni >> 8) & 255, vni & 255) });

/** The table, in the place of what has its name: an nft script. The identifier is behind the headers of UDP and eight bits of flags. */
export function renderGuard(name: string, reqid: number, vnis: readonly number[]): string {
  const packets = `meta l4proto udp udp dport ${VXLAN_PORT} @th,96,24 @${SET}`;
  return [
    `table inet ${name} {\n}`,
    `delete table inet ${name}`,
    `table inet ${name} {`,
    `\tset ${SET} {\n\t\ttypeof @th,96,24\n\t\telements = { ${vnis.join(", ")} }\n\t}`,
    `\tchain sealed {\n\t\tipsec in reqid ${reqid} accept\n\t\tdrop\n\t}`,
    `\tchain arriving {\n\t\ttype filter hook input priority -200; policy accept;\n\t\t${packets} jump sealed\n\t}`,
    `\tchain leaving {\n\t\ttype filter hook output priority 300; policy accept;\n\t\t${packets} rt ipsec missing drop\n\t}`,
    "}",
    "",
  ].join("\n");
}
