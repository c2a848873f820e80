import type { Statement } from "bun:sqlite";
import type { Database, Migration } from "./database.ts";

export const ipamGrantMigrations: readonly Migration[] = [
  {
    id: "ipam-grants-1",
    sql: `CREATE TABLE ipam_grants (
      network_id TEXT NOT NULL,
      subnet TEXT NOT NULL,
      address TEXT NOT NULL,
      driver TEXT NOT NULL,
      pool_id TEXT NOT NULL,
      request TEXT NOT NULL,
      PRIMARY KEY (network_id, subnet, address)
    ) WITHOUT ROWID`,
  },
];

/** A pool, or an address of it, that an IPAM plug-in gave and has not been given back. */
export interface IpamGrantRow {
  readonly networkId: string;
  /** The pool: `10.0.0.0/24`. */
  readonly subnet: string;
  /** Empty: the pool itself. */
  readonly address: string;
  readonly driver: string;
  /** The plug-in's name of the pool. */
  readonly poolId: string;
  /** JSON, the room network's own form of what was asked for. */
  readonly request: string;
}

/** What IPAM plug-ins gave. A row is there from their answer on until they are told that it goes back. */
export class IpamGrantsTable {
  readonly #put: Statement;
  readonly #delete: Statement;
  readonly #setPoolId: Statement;
  readonly #all: Statement<IpamGrantRow, []>;

  constructor({ sqlite }: Database) {
    this.#put = sqlite.prepare(
      "INSERT OR REPLACE INTO ipam_grants (network_id, subnet, address, driver, pool_id, request) VALUES (?, ?, ?, ?, ?, ?)",
    );
    this.#delete = sqlite.prepare("DELETE FROM ipam_grants WHERE network_id = ? AND subnet = ? AND address = ?");
    this.#setPoolId = sqlite.prepare("UPDATE ipam_grants SET pool_id = ? WHERE network_id = ? AND subnet = ?");
    this.#all = sqlite.prepare(
      "SELECT network_id AS networkId, subnet, address, driver, pool_id AS poolId, request FROM ipam_grants ORDER BY network_id, subnet, address",
    );
  }

  put({ networkId, subnet, address, driver, poolId, request }: IpamGrantRow): void {
    this.#put.run(networkId, subnet, address, driver, poolId, request);
  }

  /** Takes one out; none: nothing. */
  remove({ networkId, subnet, address }: Pick<IpamGrantRow, "networkId" | "subnet" | "address">): void {
    this.#delete.run(networkId, subnet, address);
  }

  /** A plug-in calls a pool otherwise from now on. */
  setPoolId({ networkId, subnet }: Pick<IpamGrantRow, "networkId" | "subnet">, poolId: string): void {
    this.#setPoolId.run(poolId, networkId, subnet);
  }

  all(): IpamGrantRow[] {
    return this.#all.all();
  }
}
