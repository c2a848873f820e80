import { DhowError, errorKind, errorMessage, type TarHeader, TarReader } from "../lib/mod.ts";
import { ftruncate, makedev, pwrite, S_IFBLK, S_IFCHR, S_IFIFO } from "../linux/mod.ts";
import { type Attributes, writeAll } from "./attributes.ts";
import type { RecipeWriter } from "./recipe.ts";
import type { Tree } from "./tree.ts";

const WHITEOUT = ".wh.";
const OPAQUE = ".wh..wh..opq";
/** aufs' own files, in very old layers; they mean nothing here. */
const AUFS = ".wh..wh.";
/** A piece of zeros this long becomes a hole. */
const HOLE_BYTES = 64 * 1024;
const ZEROS = Buffer.alloc(1 << 20);

export interface UnpackOptions {
  readonly signal: AbortSignal;
  /** Awaited now and then: gives the event loop its turn. */
  readonly breathe: () => Promise<void> | undefined;
}

/**
 * Unpacks a layer's tar into `tree` and notes in `recipe` how to make it again; reads `tar` to its end.
 * Returns the sum of the files' sizes as docker counts it: links by the length of their target, hard links once.
 * @throws invalid for what is wrong with the archive, unavailable for a full disk; the entry's name is in front
 * @see https://github.com/opencontainers/image-spec/blob/v1.1.1/layer.md#applying-changesets
 */
export async function unpack(tar: AsyncIterable<Uint8Array>, tree: Tree, recipe: RecipeWriter, options: UnpackOptions): Promise<number> {
  const reader = new TarReader(tar, { onRaw: (bytes) => recipe.raw(bytes) });
  let sizeBytes = 0;
  try {
    for (let header = await reader.next(); header !== null; header = await reader.next()) {
      options.signal.throwIfAborted();
      try {
        sizeBytes += await place(header, reader, tree, recipe, options);
      } catch (error) {
        throw named(error, header, options.signal);
      }
    }
    await reader.finish();
    await tree.finish(options.breathe);
    recipe.finish();
    return sizeBytes;
  } finally {
    await reader.close();
  }
}

function named(error: unknown, header: TarHeader, signal: AbortSignal): unknown {
  if (signal.aborted) return error;
  const kind = errorKind(error);
  // what an entry asks for and the file system refuses is the archive's fault, unless the machine has run out of something
  const isOurs = kind === "unavailable" || kind === "unsupported" || kind === "internal";
  return new DhowError(isOurs ? kind : "invalid", `${JSON.stringify(header.name)}: ${errorMessage(error)}`, { cause: error });
}

/** Puts one entry into the tree; returns the bytes it counts. */
async function place(header: TarHeader, reader: TarReader, tree: Tree, recipe: RecipeWriter, options: UnpackOptions): Promise<number> {
  if (header.type === "global") return 0;
  const path = cleanPath(header.name);
  const base = path.slice(path.lastIndexOf("/") + 1);
  if (base.startsWith(WHITEOUT)) {
    placeWhiteout(tree, path, base);
    return 0;
  }
  const attributes = attributesOf(header);
  const at = tree.locate(path);
  switch (header.type) {
    case "directory":
      tree.makeDirectory(at, attributes);
      return 0;
    case "file": {
      using file = tree.createFile(at, header.mode);
      const pending = writePayload(file.fd, at.path, header, reader, recipe, options);
      if (pending !== undefined) await pending;
      tree.finishFile(file.fd, attributes);
      return header.size;
    }
    case "symlink":
      if (header.linkName === "") throw new DhowError("invalid", "a symbolic link without a target");
      tree.makeSymlink(at, header.linkName, attributes);
      return Buffer.byteLength(header.linkName);
    case "link":
      tree.makeHardLink(at, cleanPath(header.linkName));
      return 0;
    case "char":
    case "block":
      tree.makeNode(at, header.type === "char" ? S_IFCHR : S_IFBLK, makedev(header.devMajor, header.devMinor), attributes);
      return 0;
    case "fifo":
      tree.makeNode(at, S_IFIFO, 0, attributes);
      return 0;
    case "other":
      throw new DhowError("invalid", `unhandled tar header type ${header.typeflag.charCodeAt(0)}`);
    default: {
      const _: never = header.type;
      return _;
    }
  }
}

function placeWhiteout(tree: Tree, path: string, base: string): void {
  const parent = path.slice(0, Math.max(0, path.length - base.length - 1));
  if (base === OPAQUE) {
    tree.makeOpaque(parent);
    return;
  }
  if (base.startsWith(AUFS)) return;
  const hidden = base.slice(WHITEOUT.length);
  if (hidden === "" || hidden === "." || hidden === "..") throw new DhowError("invalid", "a whiteout of no file");
  tree.whiteout(tree.locate(parent === "" ? hidden : `${parent}/${hidden}`));
}

function attributesOf(header: TarHeader): Attributes {
  return {
    mode: header.mode,
    uid: header.uid,
    gid: header.gid,
    mtimeNs: header.mtimeNs,
    atimeNs: header.atimeNs ?? header.mtimeNs,
    ...(header.xattrs ? { xattrs: header.xattrs } : {}),
  };
}

/** The path below the root that an archive's name means; "" is the root. @throws invalid when it leads out of it */
export function cleanPath(name: string): string {
  const parts: string[] = [];
  for (const part of name.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") parts.push(part);
    else if (parts.pop() === undefined) throw new DhowError("invalid", `${JSON.stringify(name)} is outside of the layer's root`);
  }
  return parts.join("/");
}

/** Writes an entry's content; a promise only when the archive has to be waited for. */
function writePayload(
  fd: number,
  path: string,
  header: TarHeader,
  reader: TarReader,
  recipe: RecipeWriter,
  options: UnpackOptions,
): Promise<void> | undefined {
  if (header.payloadBytes === 0) {
    if (header.size > 0) ftruncate(fd, header.size);
    return undefined;
  }
  const chunk = reader.readChunk();
  if (header.sparse === undefined && chunk instanceof Uint8Array && chunk.length === header.payloadBytes && chunk.length < HOLE_BYTES) {
    writeAll(fd, chunk);
    recipe.stretch(path, 0, chunk.length);
    return undefined;
  }
  return writeChunks({ fd, path, header, recipe }, chunk, reader, options);
}

interface Target {
  readonly fd: number;
  readonly path: string;
  readonly header: TarHeader;
  readonly recipe: RecipeWriter;
}

async function writeChunks(
  target: Target,
  first: ReturnType<TarReader["readChunk"]>,
  reader: TarReader,
  options: UnpackOptions,
): Promise<void> {
  const { fd, path, header, recipe } = target;
  const extents = header.sparse ?? [{ offset: 0, length: header.payloadBytes }];
  let index = 0;
  let done = 0;
  let end = 0;
  for (let chunk = await first; chunk !== null; chunk = await reader.readChunk()) {
    for (let at = 0; at < chunk.length; ) {
      const extent = extents[index];
      if (extent === undefined) throw new DhowError("internal", "more content than the sparse map has room for");
      const length = Math.min(chunk.length - at, extent.length - done);
      const offset = extent.offset + done;
      const piece = chunk.subarray(at, at + length);
      if (!isHole(piece)) {
        writeAt(fd, piece, offset);
        end = offset + length;
      }
      recipe.stretch(path, offset, length);
      at += length;
      done += length;
      if (done === extent.length) {
        index++;
        done = 0;
      }
    }
    options.signal.throwIfAborted();
    await options.breathe();
  }
  if (end < header.size) ftruncate(fd, header.size);
}

function writeAt(fd: number, bytes: Uint8Array, offset: number): void {
  for (let done = 0; done < bytes.length; ) done += pwrite(fd, bytes.subarray(done), offset + done);
}

/** Whether a piece is so long and so empty that it need not take room on the disk. */
function isHole(piece: Uint8Array): boolean {
  if (piece.length < HOLE_BYTES || piece.length > ZEROS.length || piece[0] !== 0 || piece[piece.length - 1] !== 0) return false;
  return Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength).equals(ZEROS.subarray(0, piece.length));
}
