import type { Statement } from "bun:sqlite";
import type { Database, Migration } from "./database.ts";

export const socketMigrations: readonly Migration[] = [
  {
    id: "sockets-1",
    sql: `CREATE TABLE sockets (
      name TEXT PRIMARY KEY,
      created_at TEXT NOT NULL,
      request TEXT NOT NULL
    ) WITHOUT ROWID`,
  },
];

/** A scoped socket as it is kept. */
export interface SocketRow {
  readonly name: string;
  /** RFC 3339. */
  readonly createdAt: string;
  /** JSON: what it was made by, as the API has it, with nothing left out. */
  readonly request: string;
}

/** The table of scoped sockets. */
export class SocketsTable {
  readonly #insert: Statement;
  readonly #delete: Statement;
  readonly #all: Statement<SocketRow, []>;

  constructor({ sqlite }: Database) {
    this.#insert = sqlite.prepare("INSERT INTO sockets (name, created_at, request) VALUES (?, ?, ?)");
    this.#delete = sqlite.prepare("DELETE FROM sockets WHERE name = ?");
    this.#all = sqlite.prepare("SELECT name, created_at AS createdAt, request FROM sockets ORDER BY created_at, name");
  }

  insert({ name, createdAt, request }: SocketRow): void {
    this.#insert.run(name, createdAt, request);
  }

  delete(name: string): void {
    this.#delete.run(name);
  }

  all(): SocketRow[] {
    return this.#all.all();
  }
}
