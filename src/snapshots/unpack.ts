import { headerAttributes, type PayloadOptions, writePayload } from "../files/mod.ts";
import { DhowError, errorKind, errorMessage, type TarHeader, TarReader } from "../lib/mod.ts";
import { isErrno, makedev, S_IFBLK, S_IFCHR, S_IFIFO } from "../linux/mod.ts";
import type { RecipeWriter } from "./recipe.ts";
import type { Tree } from "./tree.ts";

const WHITEOUT = ".wh.";
const OPAQUE = ".wh..wh..opq";
/** aufs' own files, in very old layers; they mean nothing here. */
const AUFS = ".wh..wh.";
export type UnpackOptions = PayloadOptions;

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
  const isOurs = kind === "unavailable" || kind === "unsupported" || (kind === "internal" && !isErrno(error, "EINVAL"));
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
  const attributes = headerAttributes(header);
  const at = tree.locate(path);
  switch (header.type) {
    case "directory":
      tree.makeDirectory(at, attributes);
      return 0;
    case "file": {
      using file = tree.createFile(at, header.mode);
      const pending = writePayload(file.fd, header, reader, {
        ...options,
        onStretch: (offset, length) => recipe.stretch(at.path, offset, length),
      });
      if (pending !== undefined) await pending;
      tree.finishFile(file.fd, attributes);
      return header.size;
    }
    case "symlink":
      if (header.linkName === "") throw new DhowError("invalid", "a symbolic link without a target");
      tree.makeSymlink(at, header.linkName, attributes);
      return Buffer.byteLength(header.linkName);
    case "link":
      await tree.makeHardLink(at, cleanPath(header.linkName), options);
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
