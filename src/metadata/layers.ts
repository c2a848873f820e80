import type { Statement } from "bun:sqlite";
import type { ChainId, DiffId } from "../lib/mod.ts";
import type { Database, Migration } from "./database.ts";

export const layerMigrations: readonly Migration[] = [
  {
    id: "layers-1",
    sql: `CREATE TABLE layers (
      chain_id TEXT PRIMARY KEY,
      diff_id TEXT NOT NULL,
      parent TEXT REFERENCES layers (chain_id),
      size_bytes INTEGER NOT NULL,
      tar_size_bytes INTEGER NOT NULL,
      unsynced_boot TEXT
    ) WITHOUT ROWID;
    CREATE INDEX layers_parent ON layers (parent) WHERE parent IS NOT NULL;
    CREATE INDEX layers_unsynced ON layers (unsynced_boot) WHERE unsynced_boot IS NOT NULL;`,
  },
];

/** A layer that is on disk, unpacked. */
export interface LayerRow {
  readonly chainId: ChainId;
  readonly diffId: DiffId;
  readonly parent: ChainId | null;
  /** Sum of the sizes of its files. */
  readonly sizeBytes: number;
  /** Length of its uncompressed tar. */
  readonly tarSizeBytes: number;
}

const COLUMNS = "chain_id AS chainId, diff_id AS diffId, parent, size_bytes AS sizeBytes, tar_size_bytes AS tarSizeBytes";

/** The table of layers. `unsynced_boot` holds the boot id of a kernel that may not have written the layer's files to the disk yet. */
export class LayersTable {
  readonly #insert: Statement;
  readonly #delete: Statement;
  readonly #get: Statement<LayerRow, [string]>;
  readonly #all: Statement<LayerRow, []>;
  readonly #children: Statement<{ chainId: ChainId }, [string]>;
  readonly #unsynced: Statement<LayerRow & { readonly boot: string }, []>;
  readonly #setSynced: Statement;

  constructor(db: Database) {
    const { sqlite } = db;
    this.#insert = sqlite.prepare(
      "INSERT INTO layers (chain_id, diff_id, parent, size_bytes, tar_size_bytes, unsynced_boot) VALUES (?, ?, ?, ?, ?, ?)",
    );
    this.#delete = sqlite.prepare("DELETE FROM layers WHERE chain_id = ?");
    this.#get = sqlite.prepare(`SELECT ${COLUMNS} FROM layers WHERE chain_id = ?`);
    this.#all = sqlite.prepare(`SELECT ${COLUMNS} FROM layers ORDER BY chain_id`);
    this.#children = sqlite.prepare("SELECT chain_id AS chainId FROM layers WHERE parent = ? ORDER BY chain_id");
    this.#unsynced = sqlite.prepare(`SELECT ${COLUMNS}, unsynced_boot AS boot FROM layers WHERE unsynced_boot IS NOT NULL`);
    this.#setSynced = sqlite.prepare("UPDATE layers SET unsynced_boot = NULL WHERE chain_id = ?");
  }

  /** Adds a layer whose files the kernel of boot `unsyncedBoot` has yet to write to the disk. */
  insert(row: LayerRow, unsyncedBoot: string): void {
    this.#insert.run(row.chainId, row.diffId, row.parent, row.sizeBytes, row.tarSizeBytes, unsyncedBoot);
  }

  delete(chain: ChainId): void {
    this.#delete.run(chain);
  }

  get(chain: ChainId): LayerRow | null {
    return this.#get.get(chain);
  }

  all(): LayerRow[] {
    return this.#all.all();
  }

  /** The layers right on top of one. */
  children(chain: ChainId): ChainId[] {
    return this.#children.all(chain).map((row) => row.chainId);
  }

  /** The layers that may not be on the disk whole, with the boot in which they were written. */
  unsynced(): (LayerRow & { readonly boot: string })[] {
    return this.#unsynced.all();
  }

  /** Notes that a layer's files are on the disk. */
  setSynced(chain: ChainId): void {
    this.#setSynced.run(chain);
  }
}
