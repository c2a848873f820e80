import type { Family } from "./ip.ts";
import { isObject, keyOf, type NftObject, type NftValue, type Ruleset, type RulesetChain, type RulesetRule } from "./ruleset.ts";
import {
  type AddressRange,
  all,
  elementsOf,
  equals,
  extensionMatches,
  LAST,
  type MatchPlace,
  matches,
  type ProbePacket,
  rangeOf,
  type Truth,
} from "./ruleset-match.ts";

/** A rule, or the policy of a chain, that decides about a packet. */
export interface DecidingRule {
  /** `inet firewalld` */
  readonly table: string;
  readonly chain: string;
  /** Undefined: the chain's policy. */
  readonly handle: number | undefined;
  readonly text: string;
}

/** What becomes of a packet, and by which rule; `unknown` by the first rule that could not be told. */
export interface Decision {
  readonly verdict: "accept" | "drop" | "unknown";
  /** Undefined: no chain has anything to say. */
  readonly rule: DecidingRule | undefined;
}

type End = "accept" | "drop" | "return";

interface Possible {
  readonly end: End;
  readonly rule: DecidingRule;
  /** It is one of several: this rule could not be told. */
  readonly isUnsure: boolean;
}

/** Chains call each other at most so deep. @see NFT_JUMP_STACK_SIZE of linux/netfilter/nf_tables.h */
const MAX_DEPTH = 16;
/** From so many ranges on, single senders are not told apart. */
const MAX_RANGES = 200;

function refer({ family, table, name }: RulesetChain, rule: RulesetRule): DecidingRule {
  return { table: `${family} ${table}`, chain: name, handle: rule.handle, text: rule.text };
}

/** What the chains of a host do with packets. */
export class RulesetWalk {
  readonly #ruleset: Ruleset;
  readonly #chains: ReadonlyMap<string, RulesetChain>;

  constructor(ruleset: Ruleset) {
    this.#ruleset = ruleset;
    this.#chains = new Map(ruleset.chains.map((chain) => [keyOf(chain), chain]));
  }

  /** The chains at a hook that a packet of a family meets, in their order; address translation is none of them. */
  at(hook: string, family: Family): readonly RulesetChain[] {
    const families = ["inet", family === 4 ? "ip" : "ip6"];
    return this.#ruleset.chains
      .filter((chain) => chain.base?.hook === hook && chain.base.type !== "nat" && families.includes(chain.family))
      .toSorted((a, b) => (a.base?.priority ?? 0) - (b.base?.priority ?? 0));
  }

  /**
   * What the chains at a hook do with a packet. One that drops has the last word, wherever it comes. `isOwn` tells the tables whose
   * accepting rule is the one to be named.
   */
  decide(chains: readonly RulesetChain[], packet: (chain: RulesetChain) => ProbePacket, isOwn: (table: string) => boolean): Decision {
    let accepted: DecidingRule | undefined;
    let unsure: DecidingRule | undefined;
    for (const chain of chains) {
      const decision = this.#decideBase(chain, packet(chain));
      if (decision.verdict === "drop") return decision;
      if (decision.verdict === "unknown") unsure ??= decision.rule;
      else if (accepted === undefined || isOwn(`${chain.family} ${chain.table}`)) accepted = decision.rule ?? accepted;
    }
    return unsure === undefined ? { verdict: "accept", rule: accepted } : { verdict: "unknown", rule: unsure };
  }

  #decideBase(chain: RulesetChain, packet: ProbePacket): Decision {
    const policy = chain.base?.policy ?? "accept";
    const byPolicy: DecidingRule = {
      table: `${chain.family} ${chain.table}`,
      chain: chain.name,
      handle: undefined,
      text: `policy ${policy}`,
    };
    const possible = this.#walk(chain, packet, 0).map((p) =>
      p.end === "return" ? { ...p, end: policy, rule: p.isUnsure ? p.rule : byPolicy } : p,
    );
    const sure = possible.find(({ isUnsure }) => !isUnsure);
    const [first] = possible;
    if (first === undefined || possible.every(({ end }) => end === first.end)) {
      return { verdict: first?.end === "drop" ? "drop" : "accept", rule: (sure ?? first)?.rule ?? byPolicy };
    }
    return { verdict: "unknown", rule: possible.find(({ isUnsure }) => isUnsure)?.rule };
  }

  /** The ways in which a packet may leave a chain; the last of them is the one when nothing unsure holds. */
  #walk(chain: RulesetChain, packet: ProbePacket, depth: number): Possible[] {
    const found: Possible[] = [];
    const place = { ruleset: this.#ruleset, table: `${chain.family} ${chain.table}` };
    for (const rule of chain.rules) {
      for (const { verdict, truth } of verdictsOf(rule, packet, { ...place, text: rule.text })) {
        if (truth === "no") continue;
        const ends = this.#follow(chain, rule, verdict, { packet, depth });
        const isUnsure = truth === "maybe";
        found.push(...ends.ends.map((end) => (isUnsure ? { ...end, isUnsure, rule: refer(chain, rule) } : end)));
        if (!isUnsure && !ends.goesOn) return found;
      }
    }
    const { family, table, name } = chain;
    found.push({ end: "return", rule: { table: `${family} ${table}`, chain: name, handle: undefined, text: "" }, isUnsure: false });
    return found;
  }

  #follow(
    chain: RulesetChain,
    rule: RulesetRule,
    verdict: NftObject,
    { packet, depth }: { readonly packet: ProbePacket; readonly depth: number },
  ): { readonly ends: readonly Possible[]; readonly goesOn: boolean } {
    const end = (how: End): { ends: Possible[]; goesOn: boolean } => ({
      ends: [{ end: how, rule: refer(chain, rule), isUnsure: false }],
      goesOn: false,
    });
    if ("accept" in verdict) return end("accept");
    if ("drop" in verdict || "reject" in verdict) return end("drop");
    if ("return" in verdict) return end("return");
    const jump = verdict["jump"] ?? verdict["goto"];
    if (!isObject(jump)) return { ends: [], goesOn: true };
    const target = this.#chains.get(`${chain.family} ${chain.table} ${jump["target"]}`);
    if (target === undefined || depth >= MAX_DEPTH) return { ends: [], goesOn: true };
    const ends = this.#walk(target, packet, depth + 1);
    if ("goto" in verdict) return { ends, goesOn: false };
    const left = ends.filter((possible) => possible.end !== "return");
    return { ends: left, goesOn: left.length < ends.length };
  }

  /** Every sender of a family, in as many ranges as the rules tell apart. */
  sources(family: Family, more: readonly AddressRange[] = []): readonly AddressRange[] {
    const starts = new Set<bigint>([0n]);
    const ranges = [...this.#ruleset.chains.flatMap((chain) => this.#sourcesOf(chain)), ...more].filter((range) => range.family === family);
    // a list of thousands is told apart by nobody who reads this
    for (const { first, last } of ranges.slice(0, MAX_RANGES)) starts.add(first).add(last + 1n);
    const sorted = [...starts].filter((start) => start <= LAST[family]).sort((a, b) => (a < b ? -1 : 1));
    return sorted.map((first, index) => ({ family, first, last: (sorted[index + 1] ?? LAST[family] + 1n) - 1n }));
  }

  #sourcesOf(chain: RulesetChain): AddressRange[] {
    return chain.rules.flatMap((rule) => {
      const place = { ruleset: this.#ruleset, table: `${chain.family} ${chain.table}`, text: "" };
      return rule.expressions.flatMap(({ match, vmap }) => {
        if (isObject(match)) return sourceElements(match["left"] ?? null, elementsOf(match["right"] ?? null, place) ?? []);
        if (!isObject(vmap)) return [];
        return sourceElements(
          vmap["key"] ?? null,
          pairsOf(vmap, place).map(([element]) => element),
        );
      });
    });
  }
}

/** The ranges that elements have where a packet has its sender. */
function sourceElements(left: NftValue, elements: readonly NftValue[]): AddressRange[] {
  if (!isObject(left)) return [];
  const { payload, concat } = left;
  if (isObject(payload)) return payload["field"] === "saddr" ? elements.flatMap((element) => rangeOf(element) ?? []) : [];
  if (!Array.isArray(concat)) return [];
  return concat.flatMap((part, index) =>
    sourceElements(
      part,
      elements.flatMap((element) => (isObject(element) && Array.isArray(element["concat"]) ? (element["concat"][index] ?? []) : [])),
    ),
  );
}

const VERDICTS = ["accept", "drop", "reject", "return", "continue", "jump", "goto", "queue"];
/** Targets of iptables that end a packet's way; others only do something to it. */
const TARGETS: Readonly<Record<string, NftObject>> = { REJECT: { reject: null } };

/** The verdicts of a rule, with whether they come to pass. */
function verdictsOf(
  rule: RulesetRule,
  packet: ProbePacket,
  place: MatchPlace,
): readonly { readonly verdict: NftObject; readonly truth: Truth }[] {
  const truths: Truth[] = [];
  for (const expression of rule.expressions) {
    const { match, vmap, xt, limit } = expression;
    if (isObject(match)) truths.push(matches(match, packet, place));
    else if (limit !== undefined) truths.push("maybe");
    else if (isObject(xt) && xt["type"] === "match") truths.push(extensionMatches(String(xt["name"]), packet, place));
    else if (isObject(xt)) {
      const verdict = TARGETS[String(xt["name"])];
      if (verdict !== undefined) return [{ verdict, truth: all(truths) }];
    } else if (isObject(vmap)) return mapped(vmap, all(truths), packet, place);
    else if ("queue" in expression) return [{ verdict: { accept: null }, truth: all([...truths, "maybe"]) }];
    else if (VERDICTS.some((verdict) => verdict in expression)) return [{ verdict: expression, truth: all(truths) }];
    if (truths.at(-1) === "no") return [];
  }
  return [];
}

function pairsOf(vmap: NftObject, place: MatchPlace): readonly (readonly [NftValue, NftObject])[] {
  const { data } = vmap;
  const pairs = isObject(data) && Array.isArray(data["set"]) ? data["set"] : undefined;
  if (pairs !== undefined)
    return pairs.flatMap((pair) => (Array.isArray(pair) && isObject(pair[1]) ? [[pair[0] ?? null, pair[1]] as const] : []));
  // of a map with a name the verdicts are not at hand
  return (elementsOf(data ?? null, place) ?? []).map((element) => [element, {}] as const);
}

function mapped(
  vmap: NftObject,
  truth: Truth,
  packet: ProbePacket,
  place: MatchPlace,
): readonly { readonly verdict: NftObject; readonly truth: Truth }[] {
  return pairsOf(vmap, place).map(([element, verdict]) => {
    const holds = all([truth, equals(vmap["key"] ?? null, element, packet)]);
    const isTold = VERDICTS.some((name) => name in verdict);
    return isTold ? { verdict, truth: holds } : { verdict: { drop: null }, truth: holds === "no" ? "no" : "maybe" };
  });
}
