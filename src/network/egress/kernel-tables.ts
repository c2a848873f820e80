import {
  changeTables,
  deleteTable,
  hasChain,
  hasRules,
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
import { runNft } from "../firewall.ts";
import { type Family, formatIp, ipOfBytes } from "../ip.ts";
import {
  type EgressElements,
  egressVersion,
  LIVE_SETS,
  logGroupOf,
  type PolicedPlace,
  placeElements,
  renderEgress,
} from "./egress-table.ts";

const NO_PLACE: PolicedPlace = { bridge: "", hostInterface: "", mac: "00:00:00:00:00:00", addresses: [], subnets: [] };

/** The tables of egress policies as they are in the kernel. */
export class KernelTables {
  readonly #name: string;
  readonly #netfilter: NetlinkSocket;
  readonly #tables: { readonly inet: NftTable; readonly bridge: NftTable };
  readonly #versions: { readonly logging: string; readonly silent: string };

  /** The group of nfnetlink_log that denied packets are logged to. */
  readonly logGroup: number;

  constructor(name: string, netfilter: NetlinkSocket) {
    this.#name = name;
    this.#netfilter = netfilter;
    this.logGroup = logGroupOf(name);
    this.#versions = { logging: egressVersion(name, this.logGroup), silent: egressVersion(name, undefined) };
    this.#tables = { inet: { family: NFPROTO.INET, name }, bridge: { family: NFPROTO.BRIDGE, name } };
  }

  /**
   * Makes them without any policy, in place of what is there, in the namespace that this thread is in; without rules that log where the
   * kernel has none. Spawns nft(8). @throws unavailable
   */
  make(): void {
    try {
      runNft(renderEgress(this.#name, this.logGroup));
    } catch {
      runNft(renderEgress(this.#name, undefined));
    }
  }

  /** Whether the kernel has the tables with the rules of this version. @throws {NetlinkError} */
  isWhole(): boolean {
    const { logging, silent } = this.#versions;
    const hasVersion = this.#asked(() => this.#hasChain("inet", logging) || this.#hasChain("inet", silent));
    return hasVersion && this.#asked(() => this.#hasRules("inet", "forward") && this.#hasRules("bridge", "entering"));
  }

  /** Whether denied packets are logged. @throws {NetlinkError} */
  isLogging(): boolean {
    return this.#asked(() => this.#hasChain("inet", this.#versions.logging));
  }

  #hasChain(table: "inet" | "bridge", chain: string): boolean {
    return hasChain(this.#netfilter, this.#tables[table], chain);
  }

  #hasRules(table: "inet" | "bridge", chain: string): boolean {
    return hasRules(this.#netfilter, this.#tables[table], chain);
  }

  #asked(ask: () => boolean): boolean {
    try {
      return ask();
    } catch (error) {
      // a family whose module isn't loaded, or not there: making the tables tells
      if (isErrno(error, "EOPNOTSUPP", "EAFNOSUPPORT")) return false;
      throw error;
    }
  }

  #missingOf(elements: EgressElements): string[] {
    return (["inet", "bridge"] as const).flatMap((table) =>
      (Object.entries(elements[table]) as [string, SetElement[]][]).flatMap(([set, list]) => {
        const known = new Set(this.list(table, set).map(textOf));
        return list.some((element) => !known.has(textOf(element))) ? [`an nft element of an egress policy is missing (set ${set})`] : [];
      }),
    );
  }

  /** Elements of the kernel that are none of the wanted. */
  strays(wanted: readonly EgressElements[]): TableChange[] {
    const sets = placeElements({ mode: "enforce", domains: [], networks: [] }, { ...NO_PLACE });
    return (["inet", "bridge"] as const).map((table) => ({
      table: this.#tables[table],
      changes: Object.keys(sets[table]).flatMap((set): SetChange[] => {
        const keep = new Set(wanted.flatMap((e) => (e[table] as Record<string, SetElement[]>)[set]?.map(textOf) ?? []));
        const elements = this.list(table, set).filter((element) => !keep.has(textOf(element)));
        return elements.length === 0 ? [] : [{ verb: "delete", set, elements }];
      }),
    }));
  }

  /** The elements of a set. @throws {NetlinkError} */
  list(table: "inet" | "bridge", set: string): ListedElement[] {
    return listElements(this.#netfilter, this.#tables[table], set);
  }

  /** The same of table inet, none where there is no such set. @throws {NetlinkError} */
  listIfThere(set: string): ListedElement[] {
    try {
      return this.list("inet", set);
    } catch (error) {
      if (isErrno(error, "ENOENT")) return [];
      throw error;
    }
  }

  /** What puts elements in, or takes them out; those to take out are there. */
  changes(verb: "put" | "delete", elements: EgressElements): TableChange[] {
    return (["inet", "bridge"] as const).map((table) => ({
      table: this.#tables[table],
      changes: Object.entries(elements[table]).flatMap(([set, list]): SetChange[] =>
        list.length === 0 ? [] : [{ verb, set, elements: list }],
      ),
    }));
  }

  /** All of it or nothing. @throws {NetlinkError} ENOENT: somebody took the tables away */
  commit(changes: readonly TableChange[]): void {
    changeTables(
      this.#netfilter,
      changes.filter((change) => change.changes.length > 0),
    );
  }

  /** What is remembered of addresses that are given up. */
  forgetting(addresses: readonly string[]): TableChange[] {
    const changes = ([4, 6] as const).flatMap((family) => {
      const gone = new Set(addresses.filter((a) => familyOf(a) === family));
      if (gone.size === 0) return [];
      const size = family === 4 ? 4 : 16;
      return LIVE_SETS.flatMap((name): SetChange[] => {
        const set = `${name}${family}`;
        const elements = this.list("inet", set).filter(({ key }) => gone.has(formatIp(ipOfBytes(key.subarray(0, size)))));
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

  /** Changes to sets of table inet. */
  inet(changes: readonly SetChange[]): TableChange {
    return { table: this.#tables.inet, changes };
  }

  /** What the kernel lacks of these elements, as text. @throws {NetlinkError} */
  missing(wanted: readonly EgressElements[]): string[] {
    return wanted.flatMap((elements) => this.#missingOf(elements));
  }

  /** Removes the tables. */
  uninstall(): void {
    for (const table of [this.#tables.inet, this.#tables.bridge]) {
      try {
        deleteTable(this.#netfilter, table);
      } catch (error) {
        if (!isErrno(error, "ENOENT", "EOPNOTSUPP", "EAFNOSUPPORT")) throw error;
      }
    }
  }
}

function textOf({ key, keyEnd }: { readonly key: Uint8Array; readonly keyEnd?: Uint8Array | undefined }): string {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
  return `${hex(key)}-${hex(keyEnd ?? key)}`;
}

const familyOf = (ip: string): Family => (ip.includes(":") ? 6 : 4);
