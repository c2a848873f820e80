/** A LayerStore over the real database, on a snapshotter in a temporary directory; for tests. */
import { expect } from "bun:test";
import { join } from "node:path";
import { type ChainId, errorKind, silentLogger, type TarEntryInit, type TarInput, writeTar } from "../../src/lib/mod.ts";
import { chunked, collect } from "../../src/lib/tar/test-support.ts";
import { readMountInfo } from "../../src/linux/mod.ts";
import { Database, LayersTable, MIGRATIONS } from "../../src/metadata/mod.ts";
import { type ApplyOptions, type Layer, LayerStore, Native, Overlay2, type Snapshotter } from "../../src/snapshots/mod.ts";
import { temporaryDirectory } from "../../src/snapshots/test-support.ts";

export interface Bed extends Disposable {
  /** Nothing may ever appear or change in it but below `state`. */
  readonly path: string;
  readonly snapshotter: Snapshotter;
  readonly layers: LayerStore;
  readonly table: LayersTable;
  apply(tar: Uint8Array | AsyncIterable<Uint8Array>, options?: Partial<ApplyOptions>): Promise<Layer>;
  /** The merged tree of a new snapshot on top of a layer. */
  view(chain: ChainId): Promise<string>;
  /** The same state with a new store, as after a restart. */
  restart(bootId?: string): LayerStore;
}

/** Every snapshotter. */
export const DRIVERS = ["overlay2", "native"] as const;
export type Driver = (typeof DRIVERS)[number];

/** At the end no mount may be left of a layer that was being unpacked. */
export function bed(driver: Driver, root?: string): Bed {
  const tmp = temporaryDirectory(root);
  const state = join(tmp.path, "state");
  const snapshotter = driver === "overlay2" ? new Overlay2(state, silentLogger) : new Native(state, silentLogger);
  const db = Database.open(":memory:", MIGRATIONS);
  const table = new LayersTable(db);
  const open = (bootId = "boot-1"): LayerStore => new LayerStore({ table, snapshotter, log: silentLogger, bootId });
  const layers = open();
  let views = 0;
  return {
    path: tmp.path,
    snapshotter,
    layers,
    table,
    apply: (tar, options = {}) =>
      layers.apply(tar instanceof Uint8Array ? chunked(tar) : tar, {
        parent: null,
        signal: new AbortController().signal,
        name: "test-layer",
        ...options,
      }),
    async view(chain) {
      const key = `view-${views++}`;
      await snapshotter.prepare(key, chain);
      return snapshotter.mount(key);
    },
    restart: open,
    [Symbol.dispose]() {
      const left = readMountInfo().filter(({ mountPoint }) => mountPoint.startsWith(join(state, "drafts")));
      tmp[Symbol.dispose]();
      db[Symbol.dispose]();
      expect(left).toEqual([]);
    },
  };
}

/** What is said of an entry of an archive. */
export type Entry = Partial<TarEntryInit> & { readonly name: string; readonly text?: string };

/** An archive; an entry without a type is a file with `text`, or a directory when its name ends in a slash. */
export function archive(...entries: Entry[]): Promise<Buffer> {
  const inputs = entries.map(({ text, ...rest }): TarInput => {
    const type = rest.type ?? (rest.name.endsWith("/") ? "directory" : "file");
    const payload = Buffer.from(text ?? "");
    return { entry: { mode: type === "directory" ? 0o755 : 0o644, ...rest, type, size: payload.length }, payload };
  });
  return collect(writeTar(inputs));
}

/** The error that some work ends with. */
export async function failureOf(work: Promise<unknown>): Promise<{ readonly kind: string; readonly message: string }> {
  try {
    await work;
  } catch (error) {
    return { kind: errorKind(error), message: (error as Error).message };
  }
  return { kind: "none", message: "nothing was thrown" };
}

/** What a script prints. @throws when it fails */
export const sh = (script: string): string => {
  const { stdout, stderr, exitCode } = Bun.spawnSync(["sh", "-ec", script], { env: { ...process.env, LC_ALL: "C" } });
  if (exitCode !== 0) throw new Error(stderr.toString());
  return stdout.toString();
};

/** Everything about a tree: types, modes, owners, times, sizes, links, xattrs and contents. */
export function describeTree(root: string): string {
  return sh(`cd '${root}'
    find . -mindepth 1 ! -type d -printf '%p %y %m %U:%G %T@ %s %n %l\\n' | sort
    find . -mindepth 1 -type d -printf '%p %y %m %U:%G %T@\\n' | sort
    find . -type f -exec sha256sum {} + | sort
    find . \\( -type b -o -type c \\) -exec stat -c '%n %t:%T' {} + | sort
    getfattr -R -h -d -m '^(user|security|trusted\\.own)' . 2>/dev/null || true`);
}
