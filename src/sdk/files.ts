import { DhowError, isKind, readTar, type TarEntryInit, type TarHeader, writeTar } from "../lib/mod.ts";
import type { PathStat } from "../spec/engine/mod.ts";
import type { EngineAccess, SignalOption } from "./access.ts";
import { type ByteSource, type ByteStream, byteStream, bytesOf, collect, opened } from "./bytes.ts";
import { spool } from "./spool.ts";

export type FileKind = "file" | "directory" | "symlink" | "device" | "fifo" | "socket";

/** What there is at a path. */
export interface FileInfo {
  /** The last part of the path. */
  readonly name: string;
  readonly kind: FileKind;
  readonly size: number;
  /** Permission bits with setuid, setgid and sticky. */
  readonly mode: number;
  readonly mtime: Date;
  /** Where a link leads to: as `stat` tells it in the end, as `readDir` tells it by its own text; empty for what is no link. */
  readonly linkTarget: string;
}

/** How to make a file. */
export interface WriteOptions extends SignalOption {
  /** Default 0o644. */
  readonly mode?: number | undefined;
  /** Owner and group, 0 by default. */
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  readonly mtime?: Date | undefined;
}

/** Go's os.FileMode. @see https://pkg.go.dev/io/fs#FileMode */
const GO = {
  directory: 2 ** 31,
  symlink: 2 ** 27,
  device: 2 ** 26,
  fifo: 2 ** 25,
  socket: 2 ** 24,
  setuid: 2 ** 23,
  setgid: 2 ** 22,
  sticky: 2 ** 20,
};

const TAR_KINDS: Readonly<Record<TarHeader["type"], FileKind>> = {
  file: "file",
  link: "file",
  symlink: "symlink",
  char: "device",
  block: "device",
  directory: "directory",
  fifo: "fifo",
  global: "file",
  other: "file",
};

function has(mode: number, bit: number): boolean {
  return Math.floor(mode / bit) % 2 === 1;
}

function infoOf({ name, size, mode, mtime, linkTarget }: PathStat): FileInfo {
  const kind = (["directory", "symlink", "device", "fifo", "socket"] as const).find((word) => has(mode, GO[word])) ?? "file";
  const special = (has(mode, GO.setuid) ? 0o4000 : 0) + (has(mode, GO.setgid) ? 0o2000 : 0) + (has(mode, GO.sticky) ? 0o1000 : 0);
  return { name, kind, size, mode: (mode % 0o1000) + special, mtime: new Date(mtime), linkTarget };
}

function infoOfEntry(name: string, { type, size, mode, mtimeNs, linkName }: TarHeader): FileInfo {
  const kind = TAR_KINDS[type];
  return { name, kind, size, mode, mtime: new Date(Number(mtimeNs / 1_000_000n)), linkTarget: kind === "symlink" ? linkName : "" };
}

/** The directory and the last part of a path; relative ones begin at the root, as docker's do. @throws invalid for a directory's */
function split(path: string): { readonly dir: string; readonly name: string } {
  const at = path.lastIndexOf("/");
  const name = path.slice(at + 1);
  if (name === "" || name === "." || name === "..")
    throw new DhowError("invalid", `write ${JSON.stringify(path)}: want the path of a file`);
  return { dir: path.slice(0, at) || "/", name };
}

/** The files of a container, whether it runs or not. Relative paths begin at the root. */
export class Files {
  readonly #access: EngineAccess;
  readonly #container: string;

  constructor(access: EngineAccess, container: string) {
    this.#access = access;
    this.#container = container;
  }

  /** @throws notFound */
  async stat(path: string, { signal }: SignalOption = {}): Promise<FileInfo> {
    return infoOf(await this.#access.within(signal).files.stat(this.#container, path));
  }

  async exists(path: string, options: SignalOption = {}): Promise<boolean> {
    try {
      await this.stat(path, options);
      return true;
    } catch (error) {
      if (isKind(error, "notFound")) return false;
      throw error;
    }
  }

  /** A file's bytes. @throws notFound, invalid when it is no file */
  async read(path: string, options: SignalOption = {}): Promise<Uint8Array> {
    return collect(this.#read(path, options));
  }

  /** A file as text. @throws notFound, invalid when it is no file */
  async readText(path: string, options: SignalOption = {}): Promise<string> {
    return new TextDecoder().decode(await this.read(path, options));
  }

  /** A file's bytes as they come. Fails at the first read: notFound, invalid when it is no file. */
  readStream(path: string, options: SignalOption = {}): ByteStream {
    return byteStream(this.#read(path, options));
  }

  async *#read(path: string, { signal }: SignalOption): AsyncGenerator<Uint8Array> {
    const { files } = this.#access.within(signal);
    let { stat, archive } = await files.getArchive(this.#container, path, { signal });
    if (infoOf(stat).kind === "symlink") {
      await archive[Symbol.asyncIterator]().return?.();
      ({ stat, archive } = await files.getArchive(this.#container, stat.linkTarget, { signal }));
    }
    for await (const { header, payload } of readTar(archive)) {
      if (header.type !== "file") throw new DhowError("invalid", `read ${path}: is a ${infoOf(stat).kind}`);
      yield* payload;
      return;
    }
  }

  /** Makes a file, or replaces it; missing directories are made. A source of unknown length goes to a temporary file here first. */
  async write(path: string, data: ByteSource, options: WriteOptions = {}): Promise<void> {
    const { dir, name } = split(path);
    await using body = await spool(bytesOf(data));
    const { mode = 0o644, uid = 0, gid = 0, mtime = new Date(), signal } = options;
    const owned = { uid, gid, mtimeNs: BigInt(mtime.getTime()) * 1_000_000n };
    const put = async (base: string, missing: readonly string[]): Promise<void> => {
      const parents = missing.map((_, index): TarEntryInit => {
        return { ...owned, type: "directory", name: missing.slice(0, index + 1).join("/"), mode: 0o755 };
      });
      const entry: TarEntryInit = { ...owned, type: "file", name: [...missing, name].join("/"), mode, size: body.size };
      await this.extract(base, writeTar([...parents.map((parent) => ({ entry: parent })), { entry, payload: body.bytes() }]), { signal });
    };
    try {
      await put(dir, []);
    } catch (error) {
      if (!isKind(error, "notFound")) throw error;
      const { base, missing } = await this.#nearest(dir, { signal });
      if (missing.length === 0) throw error;
      await put(base, missing);
    }
  }

  /** The nearest directory that is there, and the names below it that aren't. @throws notFound without the container */
  async #nearest(dir: string, options: SignalOption): Promise<{ readonly base: string; readonly missing: readonly string[] }> {
    const parts = dir.split("/").filter((part) => part !== "");
    for (let count = parts.length; count > 0; count--) {
      const base = `/${parts.slice(0, count).join("/")}`;
      if (await this.exists(base, options)) return { base, missing: parts.slice(count) };
    }
    await this.stat("/", options);
    return { base: "/", missing: parts };
  }

  /** A stream into a file, which is there when the stream has been closed. */
  writeStream(path: string, options: WriteOptions = {}): WritableStream<Uint8Array> {
    split(path);
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
    const writer = writable.getWriter();
    const written = this.write(path, readable, options);
    // one that was being read has been cancelled by its reader
    written.catch((error) => readable.cancel(error).catch(() => {}));
    return new WritableStream<Uint8Array>({
      write: (bytes) => writer.write(bytes),
      close: async () => {
        await writer.close();
        await written;
      },
      abort: async (reason) => {
        await writer.abort(reason);
        await written.catch(() => {});
      },
    });
  }

  /** Makes a directory with those above it; one that is there already stays as it is. */
  async makeDir(path: string, { mode = 0o755, uid = 0, gid = 0, signal }: WriteOptions = {}): Promise<void> {
    const { base, missing } = await this.#nearest(path, { signal });
    if (missing.length === 0) return;
    const entries = missing.map((_, index): TarEntryInit => {
      const name = missing.slice(0, index + 1).join("/");
      return {
        type: "directory",
        name,
        mode: index === missing.length - 1 ? mode : 0o755,
        uid,
        gid,
        mtimeNs: BigInt(Date.now()) * 1_000_000n,
      };
    });
    await this.extract(base, writeTar(entries.map((entry) => ({ entry }))), { signal });
  }

  /** What is in a directory, by name. Docker's API has only archives of whole trees: it costs as much as copying the directory. */
  async readDir(path: string, options: SignalOption = {}): Promise<readonly FileInfo[]> {
    const found: FileInfo[] = [];
    for await (const { header } of readTar(this.#archive(`${path.replace(/\/+$/, "")}/.`, options))) {
      const [, name, ...below] = `./${header.name}`
        .replace(/^(\.\/)+/, "./")
        .replace(/\/+$/, "")
        .split("/");
      if (name !== undefined && name !== "" && below.length === 0) found.push(infoOfEntry(name, header));
    }
    return found.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** A file or a directory with all that is in it, as a tar. */
  archive(path: string, options: SignalOption = {}): ByteStream {
    return byteStream(this.#archive(path, options));
  }

  async *#archive(path: string, { signal }: SignalOption): AsyncGenerator<Uint8Array> {
    yield* opened(async () => (await this.#access.within(signal).files.getArchive(this.#container, path, { signal })).archive);
  }

  /** Unpacks a tar, also a compressed one, into a directory that is there. */
  async extract(path: string, tar: ByteSource, { signal }: SignalOption = {}): Promise<void> {
    const { files } = this.#access.within(signal);
    await files.putArchive(this.#container, path, bytesOf(tar), { noOverwriteDirNonDir: false, copyUidGid: false, signal });
  }
}
