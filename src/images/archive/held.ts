import { randomBytes } from "node:crypto";
import { closeSync, createReadStream, mkdirSync, openSync, readFileSync, writeSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { ChainId } from "../../lib/mod.ts";
import type { ArchiveFiles } from "./plan.ts";

/** Where a file of an archive is after it went by. */
export type HeldFile =
  | { readonly kind: "memory"; readonly data: Uint8Array }
  | { readonly kind: "spooled"; readonly path: string; readonly sizeBytes: number }
  /** It was unpacked as a layer while it went by. */
  | { readonly kind: "layer"; readonly chainId: ChainId; readonly sizeBytes: number }
  | { readonly kind: "link"; readonly target: string };

/** Files up to this size stay in memory, as long as there is room. */
const SMALL_BYTES = 1024 * 1024;
const MEMORY_BYTES = 32 * 1024 * 1024;
/** A manifest or config is never larger than this. */
const MAX_DOCUMENT_BYTES = 8 * 1024 * 1024;
const MAX_LINKS = 16;
const READ_CHUNK = 1024 * 1024;

/** The files of an archive that is being read: small ones in memory, others in a directory that goes with this object. */
export class HeldFiles implements ArchiveFiles, AsyncDisposable {
  readonly #files = new Map<string, HeldFile>();
  readonly #directory: string;
  #memoryBytes = 0;
  #spooled = 0;

  constructor(temporary: string) {
    this.#directory = join(temporary, `load-${randomBytes(6).toString("hex")}`);
  }

  set(path: string, file: HeldFile): void {
    this.#files.set(path, file);
  }

  /** The file at `path`, links followed; with the path at which it really is. */
  find(path: string): { readonly path: string; readonly file: Exclude<HeldFile, { kind: "link" }> } | undefined {
    let at = path;
    for (let hops = 0; hops < MAX_LINKS; hops++) {
      const file = this.#files.get(at);
      if (!file) return undefined;
      if (file.kind !== "link") return { path: at, file };
      at = file.target;
    }
    return undefined;
  }

  read(path: string): Uint8Array | undefined {
    const file = this.find(path)?.file;
    if (file?.kind === "spooled" && file.sizeBytes <= MAX_DOCUMENT_BYTES) return readFileSync(file.path);
    return file?.kind === "memory" ? file.data : undefined;
  }

  paths(): IterableIterator<string> {
    return this.#files.keys();
  }

  /** Whether a file of this size is kept in memory. */
  isSmall(sizeBytes: number): boolean {
    return sizeBytes <= SMALL_BYTES && this.#memoryBytes + sizeBytes <= MEMORY_BYTES;
  }

  async keep(path: string, payload: AsyncIterable<Uint8Array>): Promise<void> {
    const chunks: Uint8Array[] = [];
    // The reader's chunks are views that the next read may overwrite.
    for await (const chunk of payload) chunks.push(Buffer.from(chunk));
    const data = Buffer.concat(chunks);
    this.#memoryBytes += data.length;
    this.set(path, { kind: "memory", data });
  }

  async spool(path: string, payload: AsyncIterable<Uint8Array>): Promise<void> {
    if (this.#spooled === 0) mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    const file = join(this.#directory, String(this.#spooled++));
    const fd = openSync(file, "wx", 0o600);
    let sizeBytes = 0;
    try {
      for await (const chunk of payload) {
        for (let done = 0; done < chunk.length; ) done += writeSync(fd, chunk, done);
        sizeBytes += chunk.length;
      }
    } finally {
      closeSync(fd);
    }
    this.set(path, { kind: "spooled", path: file, sizeBytes });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#files.clear();
    await rm(this.#directory, { recursive: true, force: true });
  }
}

/** The bytes of a file that was kept or spooled. */
export async function* openHeld(file: Extract<HeldFile, { kind: "memory" | "spooled" }>): AsyncGenerator<Uint8Array> {
  if (file.kind === "memory") yield file.data;
  else for await (const chunk of createReadStream(file.path, { highWaterMark: READ_CHUNK })) yield chunk as Uint8Array;
}
