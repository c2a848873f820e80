import type { Statement } from "bun:sqlite";
import { DhowError, errnoCode } from "../lib/mod.ts";
import type { Database, Migration } from "./database.ts";

export const containerMigrations: readonly Migration[] = [
  {
    id: "containers-1",
    sql: `CREATE TABLE containers (
      seq INTEGER PRIMARY KEY,
      id TEXT NOT NULL UNIQUE,
      name TEXT NOT NULL UNIQUE,
      image_id TEXT NOT NULL,
      spec TEXT NOT NULL,
      state TEXT NOT NULL
    )`,
  },
];

/** A container as it is kept: what was asked for (`spec`) apart from what changes while it lives (`state`); both JSON. */
export interface ContainerRow {
  readonly id: string;
  /** Without the leading slash. */
  readonly name: string;
  readonly imageId: string;
  readonly spec: string;
  readonly state: string;
}

/** The table of containers, in the order in which they were created. */
export class ContainersTable {
  readonly #insert: Statement;
  readonly #state: Statement;
  readonly #spec: Statement;
  readonly #rename: Statement;
  readonly #delete: Statement;
  readonly #all: Statement<ContainerRow, []>;

  constructor(db: Database) {
    const { sqlite } = db;
    this.#insert = sqlite.prepare("INSERT INTO containers (id, name, image_id, spec, state) VALUES (?, ?, ?, ?, ?)");
    this.#state = sqlite.prepare("UPDATE containers SET state = ? WHERE id = ?");
    this.#spec = sqlite.prepare("UPDATE containers SET spec = ? WHERE id = ?");
    this.#rename = sqlite.prepare("UPDATE containers SET name = ? WHERE id = ?");
    this.#delete = sqlite.prepare("DELETE FROM containers WHERE id = ?");
    this.#all = sqlite.prepare("SELECT id, name, image_id AS imageId, spec, state FROM containers ORDER BY seq");
  }

  /** Adds a container. @throws conflict when its name is taken. */
  insert(row: ContainerRow): void {
    try {
      this.#insert.run(row.id, row.name, row.imageId, row.spec, row.state);
    } catch (cause) {
      if (!errnoCode(cause)?.startsWith("SQLITE_CONSTRAINT")) throw cause;
      throw new DhowError("conflict", `the container name ${JSON.stringify(`/${row.name}`)} is already in use`, { cause });
    }
  }

  setState(id: string, state: string): void {
    this.#state.run(state, id);
  }

  setSpec(id: string, spec: string): void {
    this.#spec.run(spec, id);
  }

  rename(id: string, name: string): void {
    this.#rename.run(name, id);
  }

  delete(id: string): void {
    this.#delete.run(id);
  }

  all(): ContainerRow[] {
    return this.#all.all();
  }
}
