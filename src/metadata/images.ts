import type { Statement } from "bun:sqlite";
import type { ChainId, Digest } from "../lib/mod.ts";
import type { Database, Migration } from "./database.ts";

export const imageMigrations: readonly Migration[] = [
  {
    id: "images-1",
    sql: `CREATE TABLE images (
      id TEXT PRIMARY KEY,
      parent TEXT,
      size_bytes INTEGER NOT NULL,
      last_tagged_at TEXT
    ) WITHOUT ROWID;
    CREATE INDEX images_parent ON images (parent) WHERE parent IS NOT NULL;
    CREATE TABLE image_layers (
      image_id TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
      position INTEGER NOT NULL,
      chain_id TEXT NOT NULL,
      PRIMARY KEY (image_id, position)
    ) WITHOUT ROWID;
    CREATE INDEX image_layers_chain ON image_layers (chain_id);
    CREATE TABLE image_names (
      name TEXT PRIMARY KEY,
      image_id TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE
    ) WITHOUT ROWID;
    CREATE INDEX image_names_image ON image_names (image_id);`,
  },
  {
    id: "images-2",
    // nobody knows of older images when they came and were used: from now on
    sql: `ALTER TABLE images ADD COLUMN added_ms INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE images ADD COLUMN used_ms INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE images ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0;
    UPDATE images SET added_ms = CAST(strftime('%s', 'now') AS INTEGER) * 1000, used_ms = CAST(strftime('%s', 'now') AS INTEGER) * 1000;`,
  },
];

/** An image as it is kept; its config is the blob whose digest is `id`. */
export interface ImageRow {
  readonly id: Digest;
  readonly parent: Digest | null;
  /** Sum of the files in its layers. */
  readonly sizeBytes: number;
  /** RFC 3339; null when it never had a name. */
  readonly lastTaggedAt: string | null;
  /** When it was added, and when a use of it was last noted; milliseconds since the epoch. */
  readonly addedMs: number;
  readonly usedMs: number;
  /** 1: no collection removes it. */
  readonly pinned: number;
}

/** A name in full (`docker.io/library/busybox:latest`, or with `@sha256:…`) and the image it points to. */
export interface ImageNameRow {
  readonly name: string;
  readonly imageId: Digest;
}

const ROW =
  "SELECT id, parent, size_bytes AS sizeBytes, last_tagged_at AS lastTaggedAt, added_ms AS addedMs, used_ms AS usedMs, pinned FROM images";

/** The tables of images, of their layers and of their names. */
export class ImagesTable {
  readonly #db: Database;
  readonly #insert: Statement;
  readonly #insertLayer: Statement;
  readonly #delete: Statement;
  readonly #get: Statement<ImageRow, [string]>;
  readonly #all: Statement<ImageRow, []>;
  readonly #prefix: Statement<{ id: Digest }, [string, string]>;
  readonly #children: Statement<{ id: Digest }, [string]>;
  readonly #setParent: Statement;
  readonly #setName: Statement;
  readonly #setTagged: Statement;
  readonly #setUsed: Statement;
  readonly #setPinned: Statement;
  readonly #deleteName: Statement;
  readonly #name: Statement<ImageNameRow, [string]>;
  readonly #namesOf: Statement<{ name: string }, [string]>;
  readonly #namesFrom: Statement<ImageNameRow, [string, string]>;
  readonly #layerUse: Statement<{ n: number }, [string]>;

  constructor(db: Database) {
    this.#db = db;
    const { sqlite } = db;
    this.#insert = sqlite.prepare("INSERT INTO images (id, parent, size_bytes, added_ms, used_ms) VALUES (?, ?, ?, ?, ?)");
    this.#insertLayer = sqlite.prepare("INSERT INTO image_layers (image_id, position, chain_id) VALUES (?, ?, ?)");
    this.#delete = sqlite.prepare("DELETE FROM images WHERE id = ?");
    this.#get = sqlite.prepare(`${ROW} WHERE id = ?`);
    this.#all = sqlite.prepare(`${ROW} ORDER BY id`);
    this.#prefix = sqlite.prepare("SELECT id FROM images WHERE id >= ? AND id < ? LIMIT 2");
    this.#children = sqlite.prepare("SELECT id FROM images WHERE parent = ? ORDER BY id");
    this.#setParent = sqlite.prepare("UPDATE images SET parent = ? WHERE id = ?");
    this.#setName = sqlite.prepare(
      "INSERT INTO image_names (name, image_id) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET image_id = excluded.image_id",
    );
    this.#setTagged = sqlite.prepare("UPDATE images SET last_tagged_at = ? WHERE id = ?");
    this.#setUsed = sqlite.prepare("UPDATE images SET used_ms = ? WHERE id = ?");
    this.#setPinned = sqlite.prepare("UPDATE images SET pinned = ? WHERE id = ?");
    this.#deleteName = sqlite.prepare("DELETE FROM image_names WHERE name = ?");
    this.#name = sqlite.prepare("SELECT name, image_id AS imageId FROM image_names WHERE name = ?");
    this.#namesOf = sqlite.prepare("SELECT name FROM image_names WHERE image_id = ? ORDER BY name");
    this.#namesFrom = sqlite.prepare("SELECT name, image_id AS imageId FROM image_names WHERE name >= ? AND name < ? ORDER BY name");
    this.#layerUse = sqlite.prepare("SELECT count(*) AS n FROM image_layers WHERE chain_id = ?");
  }

  insert(row: {
    readonly id: Digest;
    readonly parent: Digest | null;
    readonly sizeBytes: number;
    readonly layers: readonly ChainId[];
    /** When that is. */
    readonly addedMs: number;
  }): void {
    this.#db.transaction(() => {
      this.#insert.run(row.id, row.parent, row.sizeBytes, row.addedMs, row.addedMs);
      row.layers.forEach((chain, position) => void this.#insertLayer.run(row.id, position, chain));
    });
  }

  /** Deletes an image with its names. */
  delete(id: Digest): void {
    this.#delete.run(id);
  }

  get(id: string): ImageRow | null {
    return this.#get.get(id);
  }

  all(): ImageRow[] {
    return this.#all.all();
  }

  /** Up to two ids that start with `sha256:` and the given hex digits. */
  withPrefix(hex: string): Digest[] {
    return this.#prefix.all(`sha256:${hex}`, `sha256:${hex}g`).map((row) => row.id);
  }

  children(id: Digest): Digest[] {
    return this.#children.all(id).map((row) => row.id);
  }

  setParent(id: Digest, parent: Digest): void {
    this.#setParent.run(parent, id);
  }

  setName(name: string, id: Digest, taggedAt: string): void {
    this.#db.transaction(() => {
      this.#setName.run(name, id);
      this.#setTagged.run(taggedAt, id);
    });
  }

  setUsed(id: Digest, usedMs: number): void {
    this.#setUsed.run(usedMs, id);
  }

  setPinned(id: Digest, isPinned: boolean): void {
    this.#setPinned.run(isPinned ? 1 : 0, id);
  }

  deleteName(name: string): void {
    this.#deleteName.run(name);
  }

  imageOfName(name: string): Digest | null {
    return this.#name.get(name)?.imageId ?? null;
  }

  namesOf(id: Digest): string[] {
    return this.#namesOf.all(id).map((row) => row.name);
  }

  /** The names of one repository, given in full. */
  namesOfRepository(repository: string): ImageNameRow[] {
    return [...this.#namesFrom.all(`${repository}:`, `${repository};`), ...this.#namesFrom.all(`${repository}@`, `${repository}A`)];
  }

  /** Deletes names and layers of images that are not there, which foreign keys would have refused. */
  deleteOrphans(): void {
    for (const table of ["image_names", "image_layers"])
      this.#db.sqlite.run(`DELETE FROM ${table} WHERE image_id NOT IN (SELECT id FROM images)`);
  }

  /** How many images have the layer. */
  layerUseCount(chain: ChainId): number {
    return this.#layerUse.get(chain)?.n ?? 0;
  }
}
