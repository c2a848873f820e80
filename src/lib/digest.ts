import { DhowError } from "./errdefs.ts";

/** `sha256:` and 64 lower-case hex digits. @see https://github.com/opencontainers/image-spec/blob/v1.1.1/descriptor.md#digests */
export type Digest = string & { readonly __brand: "Digest" };
/** The digest of a layer's uncompressed tar. */
export type DiffId = Digest & { readonly __diffId: true };
/** Identifies a stack of layers: sha256 over the parent's chainID and the layer's diffID. */
export type ChainId = Digest & { readonly __chainId: true };

const FORM = /^sha256:[0-9a-f]{64}$/;

/** Whether `text` is a well-formed sha256 digest. */
export function isDigest(text: string): text is Digest {
  return FORM.test(text);
}

/** Parses a digest. @throws invalid when `text` is not `sha256:` and 64 hex digits. */
export function parseDigest(text: string): Digest {
  if (!isDigest(text)) throw new DhowError("invalid", `invalid checksum digest format: ${JSON.stringify(text)}`);
  return text;
}

/** Parses a diffID. @throws invalid */
export function parseDiffId(text: string): DiffId {
  return parseDigest(text) as DiffId;
}

/** The digest of bytes in memory. */
export function digestOf(data: Uint8Array | string): Digest {
  return `sha256:${new Bun.CryptoHasher("sha256").update(data).digest("hex")}` as Digest;
}

/** The chainID of `diffId` on top of `parent`. @see https://github.com/opencontainers/image-spec/blob/v1.1.1/config.md#layer-chainid */
export function chainId(parent: ChainId | null, diffId: DiffId): ChainId {
  return (parent === null ? diffId : digestOf(`${parent} ${diffId}`)) as unknown as ChainId;
}

/** The chainID of every prefix of `diffIds`, base first. */
export function chainIds(diffIds: readonly DiffId[]): ChainId[] {
  const chain: ChainId[] = [];
  for (const diffId of diffIds) chain.push(chainId(chain.at(-1) ?? null, diffId));
  return chain;
}

/** The hex digits of a digest. */
export function digestHex(digest: Digest): string {
  return digest.slice("sha256:".length);
}
