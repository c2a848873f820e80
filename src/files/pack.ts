import { type Fd, type FileStat, fstat, isErrno, O_DIRECTORY, O_RDONLY, openat, S_IFDIR, S_IFMT } from "../linux/mod.ts";
import type { PayloadOptions } from "./payload.ts";
import { TarPacker } from "./tar-packer.ts";
import type { Directory, FileView, Place } from "./view.ts";

export interface PackOptions extends PayloadOptions {
  /** Told about a file that could not be read and is missing in the archive. */
  readonly onFault: (path: string, error: unknown) => void;
}

/** A directory that is being packed. */
interface Frame {
  readonly dir: Directory;
  readonly owned: Fd;
  readonly names: readonly string[];
  /** What the directory is called in the archive, with its slash. */
  readonly prefix: string;
  next: number;
}

interface Entry {
  readonly place: Place;
  readonly name: string;
}

/**
 * The tar archive of what is at a place, under `name` in the archive: directories with all that is in them, sorted; times to the second,
 * further hard links as links, sockets left out, as docker makes it. A file that vanishes meanwhile is left out. What a name stands for is
 * opened once and looked at through that descriptor: nobody can put a device or a link in its place.
 * @throws {SysError} when the place itself can't be read
 */
export async function* pack(view: FileView, at: Place, name: string, options: PackOptions): AsyncGenerator<Uint8Array, void, void> {
  const packer = new TarPacker();
  const frames: Frame[] = [];
  try {
    let entry: Entry | undefined = { place: at, name };
    for (let isFirst = true; entry !== undefined; isFirst = false) {
      const opened = open(view, entry, isFirst ? undefined : options);
      if (opened !== undefined) {
        using file = opened.file;
        if (opened.frame) frames.push(opened.frame);
        try {
          for (const chunk of packer.addOpen(file, opened.stat, entry.name)) {
            yield chunk;
            options.signal.throwIfAborted();
            await options.breathe();
          }
        } catch (error) {
          // content that may not be read is found out before anything of the file is in the archive
          if (isFirst || !isErrno(error, "EACCES", "EPERM")) throw error;
          options.onFault(entry.place.path, error);
        }
      }
      options.signal.throwIfAborted();
      const pending = options.breathe();
      if (pending !== undefined) await pending;
      entry = next(view, frames);
    }
    yield* packer.finish();
  } finally {
    for (const { owned } of frames) owned.close();
  }
}

/** The next entry, depth first. */
function next(view: FileView, frames: Frame[]): Entry | undefined {
  for (;;) {
    const frame = frames.at(-1);
    if (frame === undefined) return undefined;
    const name = frame.names[frame.next++];
    if (name !== undefined) return { place: view.child(frame.dir, name), name: frame.prefix + name };
    frames.pop()?.owned.close();
  }
}

interface Opened {
  readonly file: Fd;
  readonly stat: FileStat;
  readonly frame: Frame | undefined;
}

/** Opens what an entry stands for; undefined, and told about, when that fails and `options` are given. */
function open(view: FileView, { place, name }: Entry, options: PackOptions | undefined): Opened | undefined {
  let file: Fd | undefined;
  try {
    file = view.open(place);
    const stat = view.told(fstat(file.fd));
    const frame = (stat.mode & S_IFMT) === S_IFDIR ? openFrame(view, file, place, name) : undefined;
    return { file, stat, frame };
  } catch (error) {
    file?.close();
    if (options === undefined) throw error;
    if (!isErrno(error, "ENOENT")) options.onFault(place.path, error);
    return undefined;
  }
}

/** A directory with a descriptor of its own: the view may close those that it has. */
function openFrame(view: FileView, file: Fd, place: Place, name: string): Frame {
  const owned = openat(file.fd, ".", O_RDONLY | O_DIRECTORY);
  try {
    const dir = { fd: owned.fd, path: place.path, isReadOnly: place.dir.isReadOnly };
    return { dir, owned, names: view.list(dir), prefix: name.endsWith("/") ? name : `${name}/`, next: 0 };
  } catch (error) {
    owned.close();
    throw error;
  }
}
