import type { NetworkInspect, NetworkSummary } from "../spec/engine/mod.ts";
import type { EngineAccess, SignalOption } from "./access.ts";
import { type FilterOptions, filtersOf } from "./filters.ts";

/** The networks of an engine. */
export class Networks {
  readonly #access: EngineAccess;

  constructor(access: EngineAccess) {
    this.#access = access;
  }

  async list({ filters, signal }: FilterOptions = {}): Promise<readonly NetworkSummary[]> {
    return this.#access.within(signal).networks.list(filtersOf(filters));
  }

  /** @throws notFound */
  async inspect(ref: string, { signal }: SignalOption = {}): Promise<NetworkInspect> {
    return this.#access.within(signal).networks.inspect(ref, { verbose: false });
  }

  /** Removes those that no container uses. */
  async prune({ filters, signal }: FilterOptions = {}): Promise<{ readonly removed: readonly string[] }> {
    return { removed: (await this.#access.within(signal).networks.prune(filtersOf(filters))).NetworksDeleted ?? [] };
  }
}
