import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { breather, encodeTarHeader, readTar, TAR_END, type TarEntryInit, type TarHeader, tarPadding } from "../lib/mod.ts";
import { O_DIRECTORY, O_PATH, open } from "../linux/mod.ts";
import { type ExtractOptions, extract } from "./extract.ts";
import { pack } from "./pack.ts";
import { FileView, type ViewOptions } from "./view.ts";

export const isRoot = process.geteuid?.() === 0;

/** A directory that is gone at the end of its scope. */
export function temporaryDirectory(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), "dhow-files-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** The view of a directory. */
export function viewOf(path: string, options: Omit<ViewOptions, "root"> = {}): FileView {
  return new FileView({ ...options, root: open(path, O_PATH | O_DIRECTORY) });
}

export type Entry = Partial<TarEntryInit> & { readonly name: string; readonly data?: string | Uint8Array };

/** An archive in pieces of `step` bytes. */
export async function* tar(entries: readonly Entry[], step = 1 << 16): AsyncGenerator<Uint8Array, void, void> {
  const parts: Uint8Array[] = [];
  for (const { data = "", ...entry } of entries) {
    const bytes = Buffer.from(data);
    parts.push(encodeTarHeader({ type: "file", mode: 0o644, size: bytes.length, ...entry }), bytes, tarPadding(bytes.length));
  }
  const all = Buffer.concat([...parts, TAR_END]);
  for (let at = 0; at < all.length; at += step) yield all.subarray(at, at + step);
}

/** Unpacks entries into `destination` of a view. */
export function put(view: FileView, destination: string, entries: readonly Entry[], options: Partial<ExtractOptions> = {}): Promise<void> {
  const { signal } = new AbortController();
  return extract(tar(entries), view, destination, {
    signal,
    breathe: breather(),
    noOverwriteDirNonDir: false,
    owner: "archive",
    ...options,
  });
}

export interface Packed {
  readonly header: TarHeader;
  readonly content: string;
}

/** The archive of what is at a path, by name. */
export async function take(view: FileView, path: string, name = "it"): Promise<Map<string, Packed>> {
  const { signal } = new AbortController();
  const place = view.locate(path, { followLast: path.endsWith("/") });
  const entries = new Map<string, Packed>();
  for await (const { header, payload } of readTar(pack(view, place, name, { signal, breathe: breather(), onFault: () => {} }))) {
    const parts: Uint8Array[] = [];
    for await (const part of payload) parts.push(Buffer.from(part));
    entries.set(header.name, { header, content: Buffer.concat(parts).toString() });
  }
  return entries;
}
