import { constants } from "node:fs";
import { type FileHandle, open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { DhowError, errnoCode, errorMessage, type Logger } from "../../lib/mod.ts";
import { strerror } from "../../linux/mod.ts";
import { decodeDocument } from "./decode.ts";
import { type CdiDocument, type ContainerEdits, mergeEdits } from "./document.ts";
import { parseKind, qualifiedName } from "./names.ts";
import { checkDocument } from "./validate.ts";

/** Where the files are that people write, and those that programs make. */
export const CDI_DIRECTORIES: readonly string[] = ["/etc/cdi", "/var/run/cdi"];

const NO_DIRECTORIES = "no CDI specification directories specified";

/** A file that was changed this shortly before it was read may be changed again without showing it. */
const SETTLED_MS = 2000;

/** A file's document. */
interface Source {
  readonly path: string;
  /** The directory's place in the list: what stands in a later one counts. */
  readonly priority: number;
  readonly document: CdiDocument;
}

/** What was found in the directories. */
interface Sources {
  readonly sources: readonly Source[];
  readonly errors: ReadonlyMap<string, readonly string[]>;
  readonly hasDirectories: boolean;
}

interface Found {
  readonly source: Source;
  readonly edits: ContainerEdits;
}

/** The devices that there are at one time. */
export class CdiDevices {
  readonly #devices: ReadonlyMap<string, Found>;
  readonly #vendors: ReadonlySet<string>;
  readonly #hasDirectories: boolean;
  /** What is wrong, by the path of the file or directory. */
  readonly errors: ReadonlyMap<string, readonly string[]>;

  constructor({ sources, hasDirectories, ...found }: Sources) {
    const errors = new Map(found.errors);
    this.#hasDirectories = hasDirectories;
    this.#devices = byName(sources, (path, error) => errors.set(path, [...(errors.get(path) ?? []), error]));
    this.#vendors = new Set(sources.map(({ document }) => parseKind(document.kind).vendor));
    this.errors = errors;
  }

  /** Qualified names, sorted. */
  get names(): readonly string[] {
    return [...this.#devices.keys()].sort();
  }

  hasVendor(vendor: string): boolean {
    return this.#vendors.has(vendor);
  }

  /** What devices change of a container: for each file that has one of them what it has for all, before the first's own. @throws invalid */
  edits(names: readonly string[]): ContainerEdits {
    if (!this.#hasDirectories) throw new DhowError("invalid", NO_DIRECTORIES);
    const unknown = names.filter((name) => !this.#devices.has(name));
    if (unknown.length > 0) throw new DhowError("invalid", `unresolvable CDI devices ${unknown.join(", ")}`);
    const seen = new Set<Source>();
    const found = names.flatMap((name) => this.#devices.get(name) ?? []);
    const all = found.flatMap(({ source, edits }) => {
      if (seen.has(source)) return [edits];
      seen.add(source);
      return [source.document.edits, edits];
    });
    return mergeEdits(all);
  }
}

/** Of the files that have a device that in the last directory counts; two in one directory are none. */
function byName(sources: readonly Source[], report: (path: string, error: string) => void): ReadonlyMap<string, Found> {
  const candidates = new Map<string, Found[]>();
  for (const source of sources) {
    for (const { name, edits } of source.document.devices) {
      const qualified = qualifiedName(source.document.kind, name);
      const others = (candidates.get(qualified) ?? []).filter((other) => other.source.priority === source.priority);
      candidates.set(qualified, [...others, { source, edits }]);
    }
  }
  const found = new Map<string, Found>();
  for (const [name, list] of candidates) {
    const [first, ...others] = list;
    if (first === undefined) continue;
    if (others.length === 0) found.set(name, first);
    const paths = list.map(({ source }) => source.path);
    if (others.length > 0) {
      const specs = paths.map((path) => JSON.stringify(path)).join(", ");
      for (const path of paths) report(path, `conflicting device ${JSON.stringify(name)} (specs ${specs})`);
    }
  }
  return found;
}

/** A file as it was read last. */
interface Read {
  /** What tells whether it is still that; undefined when that can't be told. */
  readonly stamp: string | undefined;
  readonly document?: CdiDocument;
  readonly error?: string;
}

/**
 * The devices of the Container Device Interface that the host's files describe. The files belong to others and change at any time: each
 * `devices()` looks at them, and reads again those that have changed.
 *
 * ```
 * /etc/cdi/       *.json  *.yaml      directories below are not looked at
 * /var/run/cdi/   *.json  *.yaml      a device that is here, too, is this one
 * ```
 */
export class CdiRegistry {
  readonly directories: readonly string[];
  readonly #log: Logger;
  readonly #now: () => number;
  #read: ReadonlyMap<string, Read> = new Map();

  /** @param now in ms since 1970 */
  constructor(directories: readonly string[], { log, now = Date.now }: { readonly log: Logger; readonly now?: () => number }) {
    this.directories = directories;
    this.#log = log;
    this.#now = now;
  }

  /** The devices that there are now. */
  async devices(): Promise<CdiDevices> {
    const errors = new Map<string, readonly string[]>();
    const read = new Map<string, Read>();
    const sources: Source[] = [];
    for (const [priority, directory] of this.directories.entries()) {
      for (const path of await this.#files(directory, errors)) {
        const file = await this.#file(path);
        if (file === undefined) continue;
        read.set(path, file);
        if (file.error !== undefined) errors.set(path, [`failed to load CDI Spec ${file.error}`]);
        if (file.document !== undefined) sources.push({ path, priority, document: file.document });
      }
    }
    this.#read = read;
    return new CdiDevices({ sources, errors, hasDirectories: this.directories.length > 0 });
  }

  /** The devices, and sentences for the user about what is wrong with the files, as /info has them. */
  async discovered(): Promise<{ readonly names: readonly string[]; readonly warnings: readonly string[] }> {
    if (this.directories.length === 0) return { names: [], warnings: [`CDI cache initialization failed: ${NO_DIRECTORIES}`] };
    const { names, errors } = await this.devices();
    const warnings = [...errors].flatMap(([path, own]) => own.map((error) => `CDI: Error associated with spec file ${path}: ${error}`));
    return { names, warnings };
  }

  /** Says in the log what is wrong with the files. */
  async report(): Promise<void> {
    for (const [path, errors] of (await this.devices()).errors) {
      for (const error of errors) this.#log.warn("CDI setup error", { dir: path, error });
    }
  }

  async #files(directory: string, errors: Map<string, readonly string[]>): Promise<readonly string[]> {
    try {
      const entries = await readdir(directory, { withFileTypes: true });
      const names = entries.filter((entry) => !entry.isDirectory() && /\.(?:json|yaml)$/.test(entry.name)).map(({ name }) => name);
      return names.sort().map((name) => join(directory, name));
    } catch (error) {
      if (errnoCode(error) !== "ENOENT") errors.set(directory, [`failed to read directory: ${reasonOf(error)}`]);
      return [];
    }
  }

  /** Undefined for one that is gone meanwhile. */
  async #file(path: string): Promise<Read | undefined> {
    const quoted = JSON.stringify(path);
    try {
      // a FIFO would keep who opens it waiting
      await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
      const { stamp, ageMs } = await stampOf(file, this.#now());
      const last = this.#read.get(path);
      if (last !== undefined && last.stamp === stamp) return last;
      const text = await file.readFile("utf8");
      return { stamp: ageMs > SETTLED_MS ? stamp : undefined, ...(await documentOf(text, quoted)) };
    } catch (error) {
      if (errnoCode(error) === "ENOENT") return undefined;
      return { stamp: undefined, error: `failed to read CDI Spec ${quoted}: ${reasonOf(error)}` };
    }
  }
}

async function documentOf(text: string, quoted: string): Promise<Pick<Read, "document" | "error">> {
  let document: CdiDocument | undefined;
  try {
    document = await decodeDocument(text);
  } catch (error) {
    return { error: `failed to parse CDI Spec ${quoted}: failed to unmarshal CDI Spec: ${errorMessage(error)}` };
  }
  if (document === undefined) return { error: `failed to parse CDI Spec ${quoted}, no Spec data` };
  try {
    checkDocument(document);
    return { document };
  } catch (error) {
    return { error: `invalid CDI Spec: ${errorMessage(error)}` };
  }
}

/** @throws invalid for what is no file */
async function stampOf(file: FileHandle, nowMs: number): Promise<{ readonly stamp: string; readonly ageMs: number }> {
  const stat = await file.stat({ bigint: true });
  if (!stat.isFile()) throw new DhowError("invalid", "not a regular file");
  const { dev, ino, size, mtimeNs, ctimeNs, ctimeMs } = stat;
  return { stamp: [dev, ino, size, mtimeNs, ctimeNs].join(":"), ageMs: nowMs - Number(ctimeMs) };
}

/** A system call's failure in C's words. */
function reasonOf(error: unknown): string {
  const errno = error instanceof Error && "errno" in error && typeof error.errno === "number" ? error.errno : undefined;
  return errno === undefined ? errorMessage(error) : strerror(Math.abs(errno));
}
