import { ULIMIT_NAMES } from "../../spec/engine/mod.ts";
import type { Kind } from "../flag-kinds.ts";

export interface Ulimit {
  readonly Name: string;
  readonly Hard: number;
  readonly Soft: number;
}

function limit(text: string): number {
  if (text === "unlimited") return -1;
  if (!/^[+-]?\d+$/.test(text)) throw new Error(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`);
  return Number(text);
}

/** `nofile=1024[:2048]` @throws Error in docker's words */
export function parseUlimit(text: string): Ulimit {
  const at = text.indexOf("=");
  if (at < 0) throw new Error(`invalid ulimit argument: ${text}`);
  const Name = text.slice(0, at);
  const value = text.slice(at + 1);
  if (!ULIMIT_NAMES.has(Name)) throw new Error(`invalid ulimit type: ${Name}`);
  const limits = value.split(":");
  if (limits.length > 2) throw new Error(`too many limit value arguments - ${value}, can only have up to two, \`soft[:hard]\``);
  const [Soft = 0, Hard = Soft] = limits.map(limit);
  if (Hard !== -1 && (Soft === -1 || Soft > Hard)) {
    throw new Error(`ulimit soft limit must be less than or equal to hard limit: ${Soft} > ${Hard}`);
  }
  return { Name, Hard, Soft };
}

/** The last one of a name counts. */
export const ULIMITS: Kind<readonly Ulimit[]> = {
  initial: [],
  word: "ulimit",
  parse: (text, previous) => {
    const ulimit = parseUlimit(text);
    return [...previous.filter(({ Name }) => Name !== ulimit.Name), ulimit].sort((a, b) => (a.Name < b.Name ? -1 : 1));
  },
};
