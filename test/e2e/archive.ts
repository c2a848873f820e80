/** Image archives for tests, built in memory. */
import { digestOf, encodeTarHeader, TAR_END, type TarEntryInit, tarPadding } from "../../src/lib/mod.ts";

/** One entry of a tar: what is left out is that of an ordinary file. */
export type Entry = Partial<TarEntryInit> & { readonly name: string; readonly data?: string | Uint8Array };

/** A tar archive of `entries`. */
export function tar(entries: readonly Entry[], options: { readonly withEnd?: boolean } = {}): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [];
  for (const { data = "", ...entry } of entries) {
    const bytes = typeof data === "string" ? Buffer.from(data) : data;
    parts.push(encodeTarHeader({ type: "file", mode: 0o644, size: bytes.length, ...entry }), bytes, tarPadding(bytes.length));
  }
  if (options.withEnd !== false) parts.push(TAR_END);
  return new Uint8Array(Buffer.concat(parts));
}

export interface ImageParts {
  readonly name?: string;
  /** Uncompressed tars, or what takes their place. */
  readonly layers: readonly Uint8Array[];
  /** Default: the digests of the layers. */
  readonly diffIds?: readonly string[];
  readonly config?: Readonly<Record<string, unknown>>;
}

/** A docker archive (as `docker save` writes) with one image. */
export function imageArchive({ name, layers, diffIds, config }: ImageParts): Uint8Array<ArrayBuffer> {
  const text = JSON.stringify({
    architecture: process.arch === "arm64" ? "arm64" : "amd64",
    os: "linux",
    config: { Cmd: ["sh"], Env: ["PATH=/bin"] },
    rootfs: { type: "layers", diff_ids: diffIds ?? layers.map((layer) => digestOf(layer)) },
    ...config,
  });
  const paths = layers.map((_, index) => `layer-${index}/layer.tar`);
  const manifest = [
    { Config: "config.json", RepoTags: name === undefined ? [] : [name.includes(":") ? name : `${name}:latest`], Layers: paths },
  ];
  return tar([
    { name: "manifest.json", data: JSON.stringify(manifest) },
    { name: "config.json", data: text },
    ...layers.map((data, index) => ({ name: paths[index] ?? "", data })),
  ]);
}
