import { DhowError } from "../lib/mod.ts";
import {
  changeTables,
  deleteTable,
  hasRules,
  isErrno,
  type NetlinkSocket,
  NFPROTO,
  type NftTable,
  type SetChange,
  type SetElement,
} from "../linux/mod.ts";
import {
  type BridgeRules,
  bridgeElements,
  type Elements,
  elementText,
  forwardElements,
  type PortForward,
  protocolText,
  type SetName,
} from "./firewall-elements.ts";
import { CHAINS, type FirewallMark, renderTable } from "./firewall-table.ts";
import type { Family } from "./ip.ts";
import type { WatchedTables } from "./table-watch.ts";

function changesOf(verb: "add" | "delete", part: Elements): SetChange[] {
  return Object.entries(part).flatMap(([set, elements]) => (elements.length > 0 ? { verb, set, elements } : []));
}

const hex = (bytes: Uint8Array | undefined): string => (bytes === undefined ? "" : Buffer.from(bytes).toString("hex"));

/** What of `elements` is not, as it is, in `others`. */
function without(elements: Elements, others: Elements): Elements {
  const id = ({ key, keyEnd, data }: SetElement): string => `${hex(key)} ${hex(keyEnd)} ${hex(data)}`;
  const left: Elements = {};
  for (const [set, list] of Object.entries(elements) as [SetName, SetElement[]][]) {
    const known = new Set(others[set]?.map(id));
    left[set] = list.filter((element) => !known.has(id(element)));
  }
  return left;
}

/**
 * The nft tables of one daemon, `ip` and, from the first IPv6 network on, `ip6` of the same name: whole at its start, then element by
 * element over netlink.
 */
export class Firewall implements WatchedTables {
  readonly purpose = "networks and published ports";
  /** Name of the tables. */
  readonly name: string;
  readonly #netfilter: NetlinkSocket;
  readonly #bridges = new Map<string, BridgeRules>();
  readonly #forwards: () => readonly PortForward[];
  #hasIpv6 = false;
  #isInstalled = false;

  readonly #acceptMark: FirewallMark | undefined;

  /** `forwards` tells everything that is published, for a table that has to be made anew. */
  constructor(name: string, netfilter: NetlinkSocket, forwards: () => readonly PortForward[], acceptMark?: FirewallMark) {
    this.name = name;
    this.#acceptMark = acceptMark;
    this.#netfilter = netfilter;
    this.#forwards = forwards;
  }

  #families(): readonly Family[] {
    return this.#hasIpv6 ? [4, 6] : [4];
  }

  #table(family: Family): NftTable {
    return { family: family === 4 ? NFPROTO.IPV4 : NFPROTO.IPV6, name: this.name };
  }

  /** Makes the tables, or replaces them in one transaction. Spawns nft(8). @throws unavailable */
  install(): void {
    const script = this.#families().map((family) =>
      renderTable({ name: this.name, family, acceptMark: this.#acceptMark }, [...this.#bridges.values()], this.#forwards()),
    );
    runNft(script.join(""));
    this.#isInstalled = true;
  }

  /** Whether the kernel has the tables with their rules, whatever their elements. @throws {NetlinkError} */
  isWhole(): boolean {
    return this.#families().every((family) => CHAINS.every((chain) => hasRules(this.#netfilter, this.#table(family), chain)));
  }

  /** Takes a bridge in; one of that name is replaced. Before the first `install`, nothing happens in the kernel. @throws {NetlinkError} */
  addBridge(rules: BridgeRules): void {
    const isFirstIpv6 = !this.#hasIpv6 && rules.families[6] !== undefined;
    const isKnown = this.#bridges.has(rules.name);
    this.#bridges.set(rules.name, rules);
    if (isFirstIpv6) this.#hasIpv6 = true;
    if (!this.#isInstalled) return;
    if (isFirstIpv6 || isKnown) this.install();
    else this.#change("add", (family) => bridgeElements(rules, family));
  }

  /** Takes a bridge out; one that is not there: nothing. @throws {NetlinkError} */
  removeBridge(name: string): void {
    const rules = this.#bridges.get(name);
    if (rules === undefined) return;
    this.#bridges.delete(name);
    if (this.#isInstalled) this.#change("delete", (family) => bridgeElements(rules, family));
  }

  /**
   * Publishes `after` in the place of `before`, all or nothing: both are all forwards of one container. One transaction, of the elements
   * that are not the same, so that no packet of another port meets anything else. The constructor's function tells of them what is in
   * `after` by then: when somebody changed the tables, they are made anew.
   * @throws {NetlinkError}
   */
  replace(before: readonly PortForward[], after: readonly PortForward[]): void {
    const changes = this.#families().map((family) => {
      const [was, is] = [forwardElements(before, family), forwardElements(after, family)];
      return { table: this.#table(family), changes: [...changesOf("delete", without(was, is)), ...changesOf("add", without(is, was))] };
    });
    try {
      changeTables(this.#netfilter, changes);
    } catch (error) {
      if (!isErrno(error, "ENOENT", "EEXIST")) throw error;
      this.install();
    }
  }

  #change(verb: "add" | "delete", elements: (family: Family) => Elements): void {
    for (const family of this.#families()) {
      try {
        changeTables(this.#netfilter, [{ table: this.#table(family), changes: changesOf(verb, elements(family)) }]);
      } catch (error) {
        if (verb === "delete" && isErrno(error, "ENOENT")) continue;
        if (!isErrno(error, "ENOENT", "EEXIST")) throw error;
        this.install();
        return;
      }
    }
  }

  /**
   * The elements of published ports as they are in the kernel, in a form to compare with `elementKeys`; undefined when a table is not whole.
   * Spawns nft(8). @throws unavailable when that is not there
   */
  async read(): Promise<ReadonlySet<string> | undefined> {
    const found = new Set<string>();
    for (const family of this.#families()) {
      const elements = await readElements(this.name, family);
      if (elements === undefined) return undefined;
      for (const element of elements) found.add(element);
    }
    return found;
  }

  /** Removes the tables. */
  uninstall(): void {
    for (const family of this.#families()) {
      try {
        deleteTable(this.#netfilter, this.#table(family));
      } catch (error) {
        if (!isErrno(error, "ENOENT")) throw error;
      }
    }
    this.#isInstalled = false;
  }
}

const PORT_MAPS: readonly string[] = ["ports", "host_ports", "port_ranges"];

/** The elements that publish `forwards`, as `Firewall.read` shows them. */
export function elementKeys(forwards: readonly PortForward[]): Set<string> {
  const keys = new Set<string>();
  for (const family of [4, 6] as const) {
    const elements = Object.entries(forwardElements(forwards, family)) as [SetName, SetElement[]][];
    for (const [map, list] of elements) {
      if (PORT_MAPS.includes(map)) for (const element of list) keys.add(`${map} ${elementText(map, element, family)}`);
    }
  }
  return keys;
}

type NftValue = string | number | { readonly [key: string]: NftValue } | readonly NftValue[];
interface NftMap {
  readonly name?: string;
  readonly elem?: readonly (readonly [NftValue, NftValue])[];
}

/** An nft value of `nft -j` as nft's own language has it. */
function nftText(value: NftValue): string {
  if (typeof value !== "object") return String(value);
  if (Array.isArray(value)) return value.map(nftText).join("-");
  const { concat, range, prefix } = value as Readonly<Record<string, NftValue>>;
  if (Array.isArray(concat)) return concat.map(nftText).join(" . ");
  if (Array.isArray(range)) return range.map(nftText).join("-");
  if (typeof prefix === "object" && "addr" in prefix) return `${nftText(prefix["addr"] ?? "")}/${nftText(prefix["len"] ?? "")}`;
  return JSON.stringify(value);
}

async function readElements(tableName: string, family: Family): Promise<readonly string[] | undefined> {
  const text = await output(["nft", "-j", "-n", "list", "table", family === 4 ? "ip" : "ip6", tableName]);
  if (text === "") return undefined;
  const { nftables } = JSON.parse(text) as { readonly nftables: readonly { readonly map?: NftMap; readonly chain?: NftChain }[] };
  const chains = new Set(nftables.flatMap(({ chain }) => chain?.name ?? []));
  if (!CHAINS.every((name) => chains.has(name))) return undefined;
  return nftables.flatMap(({ map }) =>
    PORT_MAPS.includes(map?.name ?? "")
      ? (map?.elem ?? []).map(([key, data]) => `${map?.name} ${protocolNames(nftText(key))} : ${nftText(data)}`)
      : [],
  );
}

/** nft -n prints protocols as numbers. */
function protocolNames(key: string): string {
  const parts = key.split(" . ");
  const at = parts.length === 2 ? 0 : 1;
  return parts.map((part, index) => (index === at && /^\d+$/.test(part) ? protocolText(Number(part)) : part)).join(" . ");
}

/** Loads a script in one transaction. @throws unavailable */
export function runNft(script: string): void {
  let result: ReturnType<typeof Bun.spawnSync>;
  try {
    result = Bun.spawnSync(["nft", "-f", "-"], { stdin: Buffer.from(script), stdout: "ignore", stderr: "pipe" });
  } catch (cause) {
    throw new DhowError("unavailable", "run nft: it is not there; install the package nftables", { cause });
  }
  if (result.exitCode !== 0)
    throw new DhowError("unavailable", `load the nft table: ${result.stderr?.toString().trim() || `exit code ${result.exitCode}`}`);
}

interface NftChain {
  readonly family?: string;
  readonly table?: string;
  readonly name?: string;
  readonly hook?: string;
  readonly policy?: string;
}

async function output(command: readonly string[]): Promise<string> {
  try {
    const child = Bun.spawn([...command], { stdin: "ignore", stdout: "pipe", stderr: "ignore" });
    const text = await child.stdout.text();
    return (await child.exited) === 0 ? text : "";
  } catch {
    return "";
  }
}
