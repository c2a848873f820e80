import { DhowError, type Digest, digestHex, digestOf, isDigest } from "../../lib/mod.ts";
import {
  hostPlatform,
  isIndexType,
  MEDIA_TYPES,
  type OciDescriptor,
  type OciImageConfig,
  type OciPlatform,
  parseImageConfig,
  platformMatches,
} from "../../spec/oci/mod.ts";
import { parseReference, type Reference } from "../../spec/reference.ts";

/** The small files of an archive by their clean path; links followed. */
export interface ArchiveFiles {
  read(path: string): Uint8Array | undefined;
}

/** An image that an archive holds. */
export interface ImagePlan {
  readonly config: Uint8Array;
  readonly parsed: OciImageConfig;
  /** One for each diffID of the config, base first. */
  readonly layerPaths: readonly string[];
  readonly names: readonly Reference[];
  /** The image that this one was made on top of, as `docker save` writes it. */
  readonly parent: string | undefined;
}

const CONTAINERD_NAME = "io.containerd.image.name";
const REF_NAME = "org.opencontainers.image.ref.name";
const ATTESTATION = "vnd.docker.reference.type";

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isTextList(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}

/** A path inside an archive without `.`, `..` and double slashes. */
export function cleanArchivePath(path: string): string {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return parts.join("/");
}

function json(bytes: Uint8Array, path: string): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw new DhowError("invalid", `invalid archive: ${path} is not JSON`, { cause });
  }
}

function readNeeded(files: ArchiveFiles, path: string, namedBy: string): Uint8Array {
  const bytes = files.read(path);
  if (!bytes) throw new DhowError("invalid", `invalid archive: ${JSON.stringify(path)}, named in ${namedBy}, is missing`);
  return bytes;
}

function image(config: Uint8Array, layerPaths: readonly string[], rest: Pick<ImagePlan, "names" | "parent">): ImagePlan {
  const parsed = parseImageConfig(config);
  if (parsed.os !== "linux") throw new DhowError("invalid", `cannot load ${parsed.os} image on linux`);
  const expected = layerPaths.length;
  const actual = parsed.rootfs.diff_ids.length;
  if (expected !== actual) {
    throw new DhowError("invalid", `invalid manifest, layers length mismatch: expected ${expected}, got ${actual}`);
  }
  return { config, parsed, layerPaths, ...rest };
}

function taggedName(text: string): Reference {
  const reference = parseReference(text);
  if (reference.tag === null) throw new DhowError("invalid", `invalid tag ${JSON.stringify(text)}`);
  return reference;
}

/** Reads docker's `manifest.json`. @see moby image/spec/README.md */
function planDocker(files: ArchiveFiles, manifest: unknown): ImagePlan[] {
  if (manifest === null) throw new DhowError("invalid", "invalid manifest, manifest cannot be null (but can be [])");
  if (!Array.isArray(manifest)) throw new DhowError("invalid", "invalid archive: manifest.json is not a list");
  return manifest.map((item: unknown) => {
    const repoTags = isRecord(item) ? (item["RepoTags"] ?? []) : undefined;
    const layers = isRecord(item) ? (item["Layers"] ?? []) : undefined;
    if (!isRecord(item) || typeof item["Config"] !== "string" || !isTextList(repoTags) || !isTextList(layers)) {
      throw new DhowError("invalid", "invalid archive: manifest.json has an item of a wrong form");
    }
    const config = readNeeded(files, cleanArchivePath(item["Config"]), "manifest.json");
    const parent = typeof item["Parent"] === "string" && isDigest(item["Parent"]) ? item["Parent"] : undefined;
    return image(config, layers.map(cleanArchivePath), { names: repoTags.map(taggedName), parent });
  });
}

function blobPath(digest: Digest): string {
  return `blobs/sha256/${digestHex(digest)}`;
}

/** A blob of an OCI layout, checked against its digest. */
function readBlob(files: ArchiveFiles, digest: Digest, namedBy: string): Uint8Array {
  const bytes = readNeeded(files, blobPath(digest), namedBy);
  const found = digestOf(bytes);
  if (found !== digest) throw new DhowError("invalid", `invalid archive: blob ${digest} has the digest ${found}`);
  return bytes;
}

function isDescriptor(value: unknown): value is OciDescriptor {
  return isRecord(value) && typeof value["digest"] === "string" && isDigest(value["digest"]) && typeof value["mediaType"] === "string";
}

function descriptors(value: unknown, key: string, path: string): OciDescriptor[] {
  const list = isRecord(value) ? value[key] : undefined;
  if (!Array.isArray(list) || !list.every(isDescriptor))
    throw new DhowError("invalid", `invalid archive: ${path} has no valid list of ${key}`);
  return list;
}

/** The name that a layout gives an image; a bare word is a tag without a repository, which names nothing. */
function layoutNames(descriptor: OciDescriptor): Reference[] {
  const full = descriptor.annotations?.[CONTAINERD_NAME] ?? descriptor.annotations?.[REF_NAME];
  if (full === undefined || !/[:/]/.test(full)) return [];
  try {
    const reference = parseReference(full);
    return reference.digest === null ? [{ ...reference, tag: reference.tag ?? "latest" }] : [];
  } catch {
    return [];
  }
}

interface Candidate {
  readonly descriptor: OciDescriptor;
  readonly platform: OciPlatform;
  readonly config: Uint8Array;
  readonly layers: readonly OciDescriptor[];
}

/** The image manifests below a descriptor whose blobs are in the archive; attestations and other artifacts are no images. */
function candidates(files: ArchiveFiles, descriptor: OciDescriptor, depth = 0): Candidate[] {
  if (depth > 8) throw new DhowError("invalid", "invalid archive: indexes are nested too deep");
  const path = descriptor.digest;
  if (isIndexType(descriptor.mediaType)) {
    const inner = descriptors(json(readBlob(files, descriptor.digest, "index.json"), path), "manifests", path);
    // An index may name platforms that were not saved.
    const present = inner.filter((child) => files.read(blobPath(child.digest)) !== undefined);
    return present.flatMap((child) => candidates(files, child, depth + 1));
  }
  const isImage = descriptor.mediaType === MEDIA_TYPES.manifest || descriptor.mediaType === MEDIA_TYPES.dockerManifest;
  if (!isImage || descriptor.annotations?.[ATTESTATION] !== undefined) return [];
  const manifest = json(readBlob(files, descriptor.digest, "index.json"), path);
  const config = isRecord(manifest) ? manifest["config"] : undefined;
  if (!isDescriptor(config)) throw new DhowError("invalid", `invalid archive: manifest ${path} has no config`);
  if (config.mediaType !== MEDIA_TYPES.config && config.mediaType !== MEDIA_TYPES.dockerConfig) return [];
  const bytes = readBlob(files, config.digest, path);
  const { os, architecture, variant } = parseImageConfig(bytes);
  const platform = { os, architecture, ...(variant === undefined ? {} : { variant }) };
  return [{ descriptor, platform, config: bytes, layers: descriptors(manifest, "layers", path) }];
}

/** Which of several platforms to load: those asked for, else the machine's own, else the first. */
function choose(found: readonly Candidate[], wanted: readonly OciPlatform[]): readonly Candidate[] {
  if (wanted.length > 0) return wanted.flatMap((platform) => found.find((one) => platformMatches(platform, one.platform)) ?? []);
  const own = found.find((one) => platformMatches(hostPlatform(), one.platform)) ?? found[0];
  return own ? [own] : [];
}

/** Reads an OCI image layout. @see https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md */
function planLayout(files: ArchiveFiles, index: unknown, wanted: readonly OciPlatform[]): ImagePlan[] {
  const plans = new Map<Digest, ImagePlan>();
  for (const descriptor of descriptors(index, "manifests", "index.json")) {
    const names = layoutNames(descriptor);
    choose(candidates(files, descriptor), wanted).forEach((one, i) => {
      // A name points to one image: that of the first platform.
      const own = i === 0 ? names : [];
      const known = plans.get(one.descriptor.digest);
      const plan = known
        ? { ...known, names: [...known.names, ...own] }
        : image(
            one.config,
            one.layers.map((layer) => blobPath(layer.digest)),
            { names: own, parent: undefined },
          );
      plans.set(one.descriptor.digest, plan);
    });
  }
  return [...plans.values()];
}

/**
 * The images of a docker archive or an OCI layout as its small files tell; undefined when it has neither `manifest.json` nor `index.json`.
 * `wanted` filters by platform; a docker archive that was saved with several platforms has them in its layout.
 * @throws invalid when the archive contradicts itself or a file is missing
 */
export function planImages(files: ArchiveFiles, wanted: readonly OciPlatform[]): ImagePlan[] | undefined {
  const manifest = files.read("manifest.json");
  const index = files.read("index.json");
  if (manifest) {
    const plans = planDocker(files, json(manifest, "manifest.json"));
    if (wanted.length === 0) return plans;
    const fitting = plans.filter(({ parsed }) => wanted.some((platform) => platformMatches(platform, platformOf(parsed))));
    if (fitting.length > 0 || !index) return fitting;
  }
  return index ? planLayout(files, json(index, "index.json"), wanted) : undefined;
}

/** What an image runs on. */
export function platformOf(config: OciImageConfig): OciPlatform {
  const { os, architecture, variant } = config;
  return { os, architecture, ...(variant === undefined ? {} : { variant }) };
}
