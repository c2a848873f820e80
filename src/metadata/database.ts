import { Database as Sqlite } from "bun:sqlite";
import { chmodSync, closeSync, existsSync, openSync } from "node:fs";
import { DhowError } from "../lib/mod.ts";
import { reserveRoom } from "./reserve.ts";

/** One step of the schema; steps run once, in the order of `MIGRATIONS`, and are never changed after a release. */
export interface Migration {
  readonly id: string;
  readonly sql: string;
}

/** Containers' environments are in it, and what is secret in them; SQLite gives its other files the same mode. */
function makePrivate(path: string): void {
  closeSync(openSync(path, "a", 0o600));
  for (const file of [path, `${path}-wal`, `${path}-shm`]) if (existsSync(file)) chmodSync(file, 0o600);
}

/**
 * The metadata database: one SQLite file in WAL mode. A commit survives the death of the process (kill -9);
 * `synchronous=NORMAL` keeps the file consistent over a power cut, which may lose the last transactions.
 */
export class Database implements Disposable {
  readonly sqlite: Sqlite;

  private constructor(sqlite: Sqlite) {
    this.sqlite = sqlite;
  }

  /** Opens or makes the database at `path` (`:memory:` for tests) and brings its schema up to date. @throws internal */
  static open(path: string, migrations: readonly Migration[]): Database {
    if (path !== ":memory:") makePrivate(path);
    const sqlite = new Sqlite(path, { create: true, strict: true });
    sqlite.run("PRAGMA journal_mode = WAL");
    sqlite.run("PRAGMA synchronous = NORMAL");
    sqlite.run("PRAGMA foreign_keys = ON");
    sqlite.run("PRAGMA busy_timeout = 2000");
    sqlite.run("PRAGMA cache_size = -512");
    sqlite.run("CREATE TABLE IF NOT EXISTS migrations (id TEXT PRIMARY KEY) WITHOUT ROWID");
    const db = new Database(sqlite);
    const known = new Set(migrations.map((m) => m.id));
    const done = new Set(
      sqlite
        .query<{ id: string }, []>("SELECT id FROM migrations")
        .all()
        .map((row) => row.id),
    );
    for (const id of done) {
      if (!known.has(id))
        throw new DhowError("internal", `open ${path}: it was written by a newer version (schema step ${JSON.stringify(id)})`);
    }
    for (const step of migrations) {
      if (done.has(step.id)) continue;
      db.transaction(() => {
        sqlite.run(step.sql);
        sqlite.query("INSERT INTO migrations (id) VALUES (?)").run(step.id);
      });
    }
    if (path !== ":memory:") reserveRoom(path);
    return db;
  }

  /** What SQLite finds wrong with the file; empty when all is well. Reads all of it. */
  damage(): string[] {
    const rows = this.sqlite.query<{ readonly integrity_check: string }, []>("PRAGMA integrity_check").all();
    return rows.map((row) => row.integrity_check).filter((text) => text !== "ok");
  }

  /** Tables with rows that refer to what is not there, and to which table. */
  danglingReferences(): { readonly table: string; readonly parent: string }[] {
    return this.sqlite.query<{ table: string; parent: string }, []>("PRAGMA foreign_key_check").all();
  }

  /** Runs `work` as one transaction: all of it or, when it throws, nothing. No `await` inside. Nests as savepoints. */
  transaction<T>(work: () => T): T {
    return this.sqlite.transaction(work).immediate();
  }

  [Symbol.dispose](): void {
    this.sqlite.close();
  }
}
