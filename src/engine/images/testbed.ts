import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BlobStore } from "../../content/mod.ts";
import { type Image, ImageStore } from "../../images/mod.ts";
import { type ChainId, type Digest, silentLogger, type TarInput, writeTar } from "../../lib/mod.ts";
import { Database, LayersTable, MIGRATIONS } from "../../metadata/mod.ts";
import { isOverlaySupported, LayerStore, Native, Overlay2, type Snapshotter } from "../../snapshots/mod.ts";
import type { ProgressMessage } from "../../spec/engine/mod.ts";
import type { OciImageRunConfig } from "../../spec/oci/mod.ts";
import type { EngineEvent } from "../events.ts";
import type { ImageDeps, ImageUser } from "./deps.ts";
import { ImageGc } from "./gc/gc.ts";
import type { DiskUse } from "./gc/need.ts";
import { Images } from "./images-api.ts";
import { ImageTransfer } from "./transfer.ts";

/** An engine's image part on real stores in a temporary directory; for tests. */
export class Testbed implements AsyncDisposable {
  readonly root = mkdtempSync(join(tmpdir(), "dhow-images-"));
  readonly events: EngineEvent[] = [];
  readonly users = new Map<Digest, ImageUser[]>();
  readonly layersInUse = new Set<ChainId>();
  readonly snapshotter: Snapshotter;
  readonly blobs: BlobStore;
  readonly deps: ImageDeps;
  readonly images: Images;
  readonly gc: ImageGc;
  /** What a collection takes the file system for. */
  disk: DiskUse = { capacityBytes: 1000, availableBytes: 1000 };
  readonly transfer: ImageTransfer;
  readonly #db: Database;

  constructor() {
    this.#db = Database.open(":memory:", MIGRATIONS);
    const snapshots = join(this.root, "snapshots");
    this.snapshotter = isOverlaySupported(this.root) ? new Overlay2(snapshots, silentLogger) : new Native(snapshots, silentLogger);
    const layers = new LayerStore({ table: new LayersTable(this.#db), snapshotter: this.snapshotter, log: silentLogger });
    this.blobs = new BlobStore(join(this.root, "content"));
    this.deps = {
      store: new ImageStore({ db: this.#db, blobs: this.blobs, layers, layersInUse: () => this.layersInUse, log: silentLogger }),
      layers,
      driver: this.snapshotter.driver,
      temporary: join(this.root, "tmp"),
      imageUsers: (id) => this.users.get(id) ?? [],
      written: () => undefined,
      emit: (event) => this.events.push(event),
      log: silentLogger,
    };
    this.gc = new ImageGc({
      ...this.deps,
      settings: { highPercent: 85, lowPercent: 80, minAgeMs: 0 },
      diskUse: () => this.disk,
      layersInUse: () => this.layersInUse,
      leaseOf: () => undefined,
      drained: () => this.snapshotter.drain(),
    });
    this.images = new Images(this.deps, this.gc);
    this.transfer = new ImageTransfer(this.deps);
  }

  /** The store as after a restart. */
  reopen(): ImageStore {
    return new ImageStore({
      db: this.#db,
      blobs: this.blobs,
      layers: this.deps.layers,
      layersInUse: () => this.layersInUse,
      log: silentLogger,
    });
  }

  get layerCount(): number {
    return this.deps.layers.list().length;
  }

  /** The files in flight that are left. */
  get leftovers(): string[] {
    try {
      return readdirSync(this.deps.temporary);
    } catch {
      return [];
    }
  }

  /** Adds an image with one layer per list of files, made in this many seconds after 2020. */
  async add(options: {
    readonly name?: string;
    readonly layers?: readonly Readonly<Record<string, string>>[];
    readonly second?: number;
    readonly config?: OciImageRunConfig;
    readonly parent?: Image;
  }): Promise<Image> {
    const created = new Date(Date.UTC(2020, 0, 1, 0, 0, options.second ?? 0)).toISOString();
    let parent: ChainId | null = null;
    const diffIds: string[] = [];
    for (const files of options.layers ?? [{ "etc/x": "x" }]) {
      const layer = await this.deps.layers.apply(tarOf(files), { parent, signal: new AbortController().signal, name: "test" });
      parent = layer.chainId;
      diffIds.push(layer.diffId);
    }
    const config = {
      architecture: "amd64",
      os: "linux",
      created,
      config: options.config ?? {},
      rootfs: { type: "layers", diff_ids: diffIds },
      history: diffIds.map((_, i) => ({ created, created_by: `step ${i}` })),
    };
    const image = this.deps.store.create(Buffer.from(JSON.stringify(config)), { parent: options.parent?.id ?? null });
    if (options.name !== undefined) await this.images.tag(image.id, { repo: options.name, tag: "" });
    this.events.length = 0;
    return this.deps.store.get(image.id);
  }

  /** What was emitted, as `action name`. */
  get emitted(): string[] {
    return this.events.map((event) => `${event.action} ${event.attributes["name"] ?? ""}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.snapshotter.drain();
    // The database stays open: a layer store that waits to have its layers synced may still ask it.
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** A tar archive of files with these contents. */
export function tarOf(files: Readonly<Record<string, string | Uint8Array>>): AsyncIterable<Uint8Array> {
  return writeTar(
    Object.entries(files).map(([name, content]): TarInput => {
      const payload = Buffer.from(content);
      return { entry: { type: "file", name, mode: 0o644, size: payload.length }, payload };
    }),
  );
}

export async function collect(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

export async function messages(stream: Promise<AsyncIterable<ProgressMessage>>): Promise<ProgressMessage[]> {
  const all: ProgressMessage[] = [];
  for await (const message of await stream) all.push(message);
  return all;
}

/** The bytes in pieces of a size, as they come from a socket. */
export async function* pieces(bytes: Uint8Array, size = 65536): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}
