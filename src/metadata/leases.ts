import type { Statement } from "bun:sqlite";
import type { Database, Migration } from "./database.ts";

export const leaseMigrations: readonly Migration[] = [
  {
    id: "leases-1",
    sql: `CREATE TABLE leases (
      id TEXT PRIMARY KEY,
      name TEXT NOT NULL UNIQUE,
      created_at TEXT NOT NULL,
      expires_ms INTEGER,
      pid INTEGER NOT NULL,
      process TEXT NOT NULL,
      hold INTEGER NOT NULL,
      grace_s INTEGER NOT NULL,
      filters TEXT NOT NULL,
      images TEXT NOT NULL,
      ending INTEGER NOT NULL
    ) WITHOUT ROWID`,
  },
];

/** A lease as it is kept. */
export interface LeaseRow {
  readonly id: string;
  readonly name: string;
  /** RFC 3339. */
  readonly createdAt: string;
  /** Milliseconds since the epoch; null = no such end. */
  readonly expiresMs: number | null;
  /** The owning process; 0 = none. */
  readonly pid: number;
  /** What tells the process from a later one with its pid: boot id and start time. */
  readonly process: string;
  /** 1: ends with its last connection. */
  readonly hold: number;
  readonly graceS: number;
  /** JSON: filters, each an object's way to belong to it. */
  readonly filters: string;
  /** JSON: names of images. */
  readonly images: string;
  /** 1: what belongs to it is being removed. */
  readonly ending: number;
}

/** The table of leases. */
export class LeasesTable {
  readonly #put: Statement;
  readonly #delete: Statement;
  readonly #all: Statement<LeaseRow, []>;

  constructor({ sqlite }: Database) {
    this.#put = sqlite.prepare(
      "INSERT OR REPLACE INTO leases (id, name, created_at, expires_ms, pid, process, hold, grace_s, filters, images, ending) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    );
    this.#delete = sqlite.prepare("DELETE FROM leases WHERE id = ?");
    this.#all = sqlite.prepare(
      "SELECT id, name, created_at AS createdAt, expires_ms AS expiresMs, pid, process, hold, grace_s AS graceS, filters, images, ending FROM leases ORDER BY created_at, id",
    );
  }

  /** Adds a lease, or replaces the one with its id. */
  put(row: LeaseRow): void {
    const { id, name, createdAt, expiresMs, pid, process, hold, graceS, filters, images, ending } = row;
    this.#put.run(id, name, createdAt, expiresMs, pid, process, hold, graceS, filters, images, ending);
  }

  delete(id: string): void {
    this.#delete.run(id);
  }

  all(): LeaseRow[] {
    return this.#all.all();
  }
}
