import type { Statement } from "bun:sqlite";
import { DhowError, errnoCode } from "../lib/mod.ts";
import type { Database, Migration } from "./database.ts";

export const volumeMigrations: readonly Migration[] = [
  {
    id: "volumes-1",
    sql: `CREATE TABLE volumes (
      name TEXT PRIMARY KEY,
      driver TEXT NOT NULL,
      created_at TEXT NOT NULL,
      labels TEXT,
      options TEXT
    ) WITHOUT ROWID`,
  },
  {
    id: "volumes-2",
    sql: `CREATE TABLE volume_mounts (
      volume TEXT NOT NULL,
      driver TEXT NOT NULL,
      user TEXT NOT NULL,
      PRIMARY KEY (volume, user)
    ) WITHOUT ROWID`,
  },
];

/** A volume as it is kept. */
export interface VolumeRow {
  readonly name: string;
  readonly driver: string;
  /** RFC 3339. */
  readonly createdAt: string;
  /** JSON of a map; null as the request had it. */
  readonly labels: string | null;
  readonly options: string | null;
}

/** That a plug-in was asked to mount a volume for `user`, and not yet to unmount it. */
export interface VolumeMountRow {
  readonly volume: string;
  readonly driver: string;
  readonly user: string;
}

const COLUMNS = "name, driver, created_at AS createdAt, labels, options";

/** The table of volumes, by name. */
export class VolumesTable {
  readonly #insert: Statement;
  readonly #delete: Statement;
  readonly #get: Statement<VolumeRow, [string]>;
  readonly #all: Statement<VolumeRow, []>;
  readonly #rename: Statement;
  readonly #setOptions: Statement;
  readonly #insertMount: Statement;
  readonly #deleteMount: Statement;
  readonly #mounts: Statement<VolumeMountRow, []>;

  constructor({ sqlite }: Database) {
    this.#insert = sqlite.prepare("INSERT INTO volumes (name, driver, created_at, labels, options) VALUES (?, ?, ?, ?, ?)");
    this.#delete = sqlite.prepare("DELETE FROM volumes WHERE name = ?");
    this.#get = sqlite.prepare(`SELECT ${COLUMNS} FROM volumes WHERE name = ?`);
    this.#all = sqlite.prepare(`SELECT ${COLUMNS} FROM volumes ORDER BY name`);
    this.#rename = sqlite.prepare("UPDATE volumes SET name = ? WHERE name = ?");
    this.#setOptions = sqlite.prepare("UPDATE volumes SET options = ? WHERE name = ?");
    this.#insertMount = sqlite.prepare("INSERT OR REPLACE INTO volume_mounts (volume, driver, user) VALUES (?, ?, ?)");
    this.#deleteMount = sqlite.prepare("DELETE FROM volume_mounts WHERE volume = ? AND user = ?");
    this.#mounts = sqlite.prepare("SELECT volume, driver, user FROM volume_mounts ORDER BY volume, user");
  }

  /** Adds a volume. @throws conflict when its name is taken */
  insert(row: VolumeRow): void {
    try {
      this.#insert.run(row.name, row.driver, row.createdAt, row.labels, row.options);
    } catch (cause) {
      if (!errnoCode(cause)?.startsWith("SQLITE_CONSTRAINT")) throw cause;
      throw new DhowError("conflict", `volume ${JSON.stringify(row.name)} already exists`, { cause });
    }
  }

  delete(name: string): void {
    this.#delete.run(name);
  }

  rename(from: string, to: string): void {
    this.#rename.run(to, from);
  }

  setOptions(name: string, options: string | null): void {
    this.#setOptions.run(options, name);
  }

  get(name: string): VolumeRow | undefined {
    return this.#get.get(name) ?? undefined;
  }

  list(): VolumeRow[] {
    return this.#all.all();
  }

  /** Notes a mount before it is asked for. */
  insertMount({ volume, driver, user }: VolumeMountRow): void {
    this.#insertMount.run(volume, driver, user);
  }

  deleteMount(volume: string, user: string): void {
    this.#deleteMount.run(volume, user);
  }

  listMounts(): VolumeMountRow[] {
    return this.#mounts.all();
  }
}
