import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { type Defect, DhowError, type Digest, digestHex, digestOf, errnoCode, isDigest, writeFileAtomic } from "../lib/mod.ts";

const READ_BYTES = 1 << 20;

/** What a blob is expected to be. */
export interface IngestOptions {
  readonly expected?: Digest;
  readonly sizeBytes?: number;
  readonly signal?: AbortSignal;
}

export interface BlobInfo {
  readonly digest: Digest;
  readonly sizeBytes: number;
}

/**
 * Blobs on disk by their sha256: configs, manifests, and layers in flight. A blob appears whole or not at all.
 *
 *   <root>/
 *   ├─ blobs/sha256/<hex>
 *   └─ ingest/<id>          being written; what a crash left there is deleted by `sweep`
 */
export class BlobStore {
  readonly #blobs: string;
  readonly #ingest: string;
  /** What is being written. */
  readonly #ingesting = new Set<string>();

  /** @param root the store's directory; made when missing */
  constructor(root: string) {
    this.#blobs = join(root, "blobs", "sha256");
    this.#ingest = join(root, "ingest");
    for (const dir of [this.#blobs, this.#ingest]) mkdirSync(dir, { recursive: true, mode: 0o700 });
  }

  /**
   * Writes a stream as a blob, verified before it appears. On failure nothing is left.
   * @throws invalid when it is not what was expected; what the stream or the disk throws
   */
  async ingest(source: AsyncIterable<Uint8Array>, options: IngestOptions = {}): Promise<BlobInfo> {
    const id = randomBytes(8).toString("hex");
    const path = join(this.#ingest, id);
    this.#ingesting.add(id);
    const hash = new Bun.CryptoHasher("sha256");
    let sizeBytes = 0;
    try {
      {
        await using file = await open(path, "wx", 0o600);
        for await (const chunk of source) {
          options.signal?.throwIfAborted();
          hash.update(chunk);
          sizeBytes += chunk.length;
          if (options.sizeBytes !== undefined && sizeBytes > options.sizeBytes) break;
          for (let done = 0; done < chunk.length; ) done += (await file.write(chunk, done)).bytesWritten;
        }
      }
      const digest = `sha256:${hash.digest("hex")}` as Digest;
      verify(options, digest, sizeBytes);
      await rename(path, this.#path(digest));
      return { digest, sizeBytes };
    } catch (error) {
      await rm(path, { force: true });
      throw error;
    } finally {
      this.#ingesting.delete(id);
    }
  }

  /** Stores bytes in memory as a blob. */
  put(bytes: Uint8Array | string): Digest {
    const digest = digestOf(bytes);
    if (!this.has(digest)) writeFileAtomic(this.#path(digest), bytes, { mode: 0o600 });
    return digest;
  }

  /** A small blob whole; verified. @throws notFound; internal when it is damaged */
  read(digest: Digest): Uint8Array {
    let bytes: Uint8Array;
    try {
      bytes = readFileSync(this.#path(digest));
    } catch (error) {
      throw this.#missing(digest, error);
    }
    if (digestOf(bytes) !== digest) throw new DhowError("internal", `read blob ${digest}: it is damaged`);
    return bytes;
  }

  /** A blob in pieces, not verified. Removing it meanwhile does no harm. @throws notFound, at the first piece */
  async *open(digest: Digest): AsyncGenerator<Uint8Array, void, void> {
    await using file = await open(this.#path(digest)).catch((error: unknown) => {
      throw this.#missing(digest, error);
    });
    for (;;) {
      const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
      const { bytesRead } = await file.read(buffer, 0, READ_BYTES);
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
    }
  }

  has(digest: Digest): boolean {
    return this.stat(digest) !== undefined;
  }

  /** The blob's size; undefined when it is not there. */
  stat(digest: Digest): BlobInfo | undefined {
    const stat = statSync(this.#path(digest), { throwIfNoEntry: false });
    return stat && { digest, sizeBytes: stat.size };
  }

  /** Deletes a blob; an unknown one is fine. */
  remove(digest: Digest): void {
    rmSync(this.#path(digest), { force: true });
  }

  /** All blobs, in no order. */
  list(): BlobInfo[] {
    return readdirSync(this.#blobs).flatMap((hex) => {
      const digest = `sha256:${hex}`;
      return isDigest(digest) ? (this.stat(digest) ?? []) : [];
    });
  }

  /** At the daemon's start: deletes what a crash left half-written. */
  sweep(): void {
    for (const { mend } of this.defects()) void mend();
  }

  /** What a crash left half-written, and files that are no blobs. */
  defects(): Defect[] {
    const left = readdirSync(this.#ingest).filter((name) => !this.#ingesting.has(name));
    const strange = readdirSync(this.#blobs).filter((name) => !isDigest(`sha256:${name}`));
    return [...left.map((name) => join(this.#ingest, name)), ...strange.map((name) => join(this.#blobs, name))].map((path) => ({
      what: `${path} is no whole blob`,
      mend: () => rmSync(path, { force: true, recursive: true }),
    }));
  }

  #path(digest: Digest): string {
    return join(this.#blobs, digestHex(digest));
  }

  #missing(digest: Digest, error: unknown): unknown {
    if (errnoCode(error) !== "ENOENT") return error;
    return new DhowError("notFound", `blob ${digest} does not exist`, { cause: error });
  }
}

function verify(options: IngestOptions, digest: Digest, sizeBytes: number): void {
  if (options.sizeBytes !== undefined && sizeBytes !== options.sizeBytes)
    throw new DhowError(
      "invalid",
      `store blob: ${sizeBytes > options.sizeBytes ? "more than" : `${sizeBytes} of`} ${options.sizeBytes} bytes`,
    );
  if (options.expected !== undefined && digest !== options.expected)
    throw new DhowError("invalid", `store blob: digest is ${digest}, expected ${options.expected}`);
}
