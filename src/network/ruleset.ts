import { DhowError } from "../lib/mod.ts";

/** A value as `nft -j` writes it. @see libnftables-json(5) */
export type NftValue = string | number | boolean | null | readonly NftValue[] | { readonly [key: string]: NftValue };
export type NftObject = Readonly<Record<string, NftValue>>;

/** A chain where packets come by; `priority` orders those of one hook. */
export interface BaseChain {
  readonly hook: string;
  readonly priority: number;
  /** `filter`, `nat`, `route` */
  readonly type: string;
  readonly policy: "accept" | "drop";
}

export interface RulesetRule {
  readonly handle: number;
  readonly expressions: readonly NftObject[];
  /** As `nft list` prints it. */
  readonly text: string;
}

export interface RulesetChain {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  readonly handle: number;
  readonly base: BaseChain | undefined;
  readonly rules: readonly RulesetRule[];
}

/** The nft rules of this host, everybody's. */
export interface Ruleset {
  readonly chains: readonly RulesetChain[];
  /** Elements of sets and keys of maps, by `family table name`. */
  readonly sets: ReadonlyMap<string, readonly NftValue[]>;
}

export function isObject(value: NftValue | undefined): value is NftObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const text = (value: NftValue | undefined): string => (typeof value === "string" || typeof value === "number" ? String(value) : "");
const list = (value: NftValue | undefined): readonly NftValue[] => (Array.isArray(value) ? value : []);

/** Parses what `nft -j list ruleset` says; `printed` is `nft -a list ruleset`, for the texts of the rules. @throws internal */
export function parseRuleset(json: string, printed: string): Ruleset {
  const { nftables } = JSON.parse(json) as { readonly nftables?: NftValue };
  const texts = ruleTexts(printed);
  const rules = new Map<string, RulesetRule[]>();
  const sets = new Map<string, readonly NftValue[]>();
  const chains: RulesetChain[] = [];
  for (const entry of list(nftables)) {
    if (!isObject(entry)) continue;
    const { chain, rule, set, map } = entry;
    if (isObject(rule)) {
      const key = [rule["family"], rule["table"], rule["chain"]].map(text).join(" ");
      const handle = Number(rule["handle"]);
      const own = rules.get(key) ?? [];
      own.push({ handle, expressions: list(rule["expr"]).filter(isObject), text: texts.get(`${key} ${handle}`) ?? "" });
      rules.set(key, own);
    }
    if (isObject(set)) sets.set(nameOf(set), list(set["elem"]).map(withoutState));
    // of a map's element the key is what can be looked up
    if (isObject(map))
      sets.set(
        nameOf(map),
        list(map["elem"]).map((pair) => withoutState(list(pair)[0] ?? null)),
      );
    if (isObject(chain)) chains.push(chainOf(chain));
  }
  return { chains: chains.map((chain) => ({ ...chain, rules: rules.get(keyOf(chain)) ?? [] })), sets };
}

function nameOf(object: NftObject): string {
  return [object["family"], object["table"], object["name"]].map(text).join(" ");
}

export function keyOf({ family, table, name }: Pick<RulesetChain, "family" | "table" | "name">): string {
  return `${family} ${table} ${name}`;
}

/** An element with a timeout or counter is an object around its value. */
function withoutState(element: NftValue): NftValue {
  return isObject(element) && isObject(element["elem"]) ? (element["elem"]["val"] ?? null) : element;
}

function chainOf(chain: NftObject): RulesetChain {
  const { family, table, name, handle, hook, prio, type, policy } = chain;
  const base: BaseChain | undefined =
    hook === undefined
      ? undefined
      : { hook: text(hook), priority: Number(prio), type: text(type), policy: policy === "drop" ? "drop" : "accept" };
  return { family: text(family), table: text(table), name: text(name), handle: Number(handle), base, rules: [] };
}

/** What `nft -a` prints for each rule, by `family table chain handle`. */
function ruleTexts(printed: string): Map<string, string> {
  const texts = new Map<string, string>();
  let table = "";
  let chain = "";
  for (const line of printed.split("\n")) {
    const opened = /^\s*(table|chain) (.*?) \{ # handle \d+$/.exec(line);
    if (opened?.[1] === "table") table = opened[2] ?? "";
    else if (opened?.[1] === "chain") chain = opened[2] ?? "";
    else {
      const rule = /^\s*(.*) # handle (\d+)$/.exec(line);
      if (rule) texts.set(`${table} ${chain} ${rule[2]}`, (rule[1] ?? "").replace(/ ?counter packets \d+ bytes \d+/g, "").trim());
    }
  }
  return texts;
}

/** Reads the rules of this thread's network namespace. Spawns nft(8), twice, without waiting. @throws unavailable */
export async function readRuleset(): Promise<Ruleset> {
  const [json, printed] = await Promise.all([nft("-j", "list", "ruleset"), nft("-a", "list", "ruleset")]);
  return parseRuleset(json, printed);
}

async function nft(...args: readonly string[]): Promise<string> {
  try {
    const child = Bun.spawn(["nft", ...args], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
    const [out, error, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    if (code !== 0) throw new Error(error.trim() || `exit code ${code}`);
    return out;
  } catch (cause) {
    throw new DhowError("unavailable", `read the nft rules of this host: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
}
