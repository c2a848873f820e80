import type { Filters } from "../spec/engine/mod.ts";
import type { SignalOption } from "./access.ts";

/** Docker's filters, a value or several per key: `{ label: "app=web", status: ["exited", "dead"] }`. */
export type FilterWords = Readonly<Record<string, string | readonly string[]>>;

export interface FilterOptions extends SignalOption {
  readonly filters?: FilterWords | undefined;
}

/** The filters as the engine wants them. */
export function filtersOf(words: FilterWords = {}): Filters {
  return Object.fromEntries(Object.entries(words).map(([key, value]) => [key, typeof value === "string" ? [value] : value]));
}
