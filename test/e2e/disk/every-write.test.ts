/**
 * A disk that is full at each write in turn: the data root gets room for n more pages, then for n more inodes, for n = 0, 1, 2, …, until
 * the call succeeds. Each failure has to say why, and to leave nothing.
 */
import { Database } from "bun:sqlite";
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, rmSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { imageArchive, tar } from "../archive.ts";
import { type Answer, Daemon } from "../daemon.ts";

const SIZE_MIB = 64;
const PAGE = 4096;
const MOST_INODES = 100_000;
const NO_SPACE = /no space left on device|database or disk is full/i;

let daemon: Daemon;
let disk: string;

function remount(options: string): void {
  const done = Bun.spawnSync(["mount", "-o", `remount,${options}`, disk]);
  if (done.exitCode !== 0) throw new Error(`remount ${options}: ${done.stderr}`);
}

function giveRoom(): void {
  remount(`size=${SIZE_MIB}m,nr_inodes=${MOST_INODES}`);
}

/** Leaves room for `spare` more pages or inodes. */
const limits: Readonly<Record<"pages" | "inodes", (spare: number) => void>> = {
  pages: (spare) => {
    const { blocks, bfree, bsize } = statfsSync(disk);
    remount(`size=${(blocks - bfree) * bsize + spare * PAGE}`);
  },
  inodes: (spare) => {
    const { files, ffree } = statfsSync(disk);
    remount(`nr_inodes=${files - ffree + spare}`);
  },
};

beforeAll(async () => {
  daemon = await Daemon.start({ args: ["--log-driver", "json-file"] });
  await daemon.stop();
  disk = daemon.dataRoot;
  rmSync(disk, { recursive: true, force: true });
  mkdirSync(disk);
  const made = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", `size=${SIZE_MIB}m,nr_inodes=${MOST_INODES}`, "dhow-e2e", disk]);
  if (made.exitCode !== 0) throw new Error(made.stderr.toString());
  await daemon.launch();
  await daemon.ok("load", "-q", "-i", join(import.meta.dir, "../../../.dhow/test-images/busybox.tar"));
}, 120_000);

afterEach(async () => {
  giveRoom();
  await daemon.removeContainers();
});

afterAll(async () => {
  if (disk) giveRoom();
  await daemon?.removeContainers().catch(() => undefined);
  await daemon?.stop();
  if (disk) Bun.spawnSync(["umount", "-l", disk]);
  await daemon?.[Symbol.asyncDispose]();
});

const names = (path: string): string[] =>
  existsSync(join(disk, path))
    ? readdirSync(join(disk, path))
        .filter((name) => name !== ".removing")
        .sort()
    : [];

function column(db: Database, sql: string): string[] {
  return db
    .query<Record<string, string>, []>(sql)
    .all()
    .map((row) => Object.values(row)[0] ?? "")
    .sort();
}

/** What is on the disk, beside what the rows say has to be there. */
function inventory(): { readonly found: unknown; readonly wanted: unknown } {
  using db = new Database(join(disk, "db.sqlite"), { readonly: true });
  const containers = column(db, "SELECT id FROM containers");
  const layers = column(db, "SELECT chain_id FROM layers");
  return {
    found: {
      integrity: column(db, "PRAGMA integrity_check"),
      snapshots: names("snapshots/active"),
      containers: names("containers"),
      layers: names("snapshots/layers").map((hex) => `sha256:${hex}`),
      shortNames: names("snapshots/l").length,
      images: names("content/blobs/sha256").map((hex) => `sha256:${hex}`),
      volumes: names("volumes"),
      halfMade: ["snapshots/drafts", "snapshots/trash", "content/ingest", "tmp", "volumes/.removing"].map(names),
      notes: containers.filter((id) => names(`containers/${id}`).includes("new-volumes")),
    },
    wanted: {
      integrity: ["ok"],
      snapshots: containers,
      containers,
      layers: column(db, "SELECT DISTINCT chain_id FROM image_layers"),
      shortNames: layers.length,
      images: column(db, "SELECT id FROM images"),
      volumes: column(db, "SELECT name FROM volumes"),
      halfMade: [[], [], [], [], []],
      notes: layers.filter(() => false),
    },
  };
}

/** Waits for what is cleaned up behind an answer. */
async function expectNothingLeft(what: string): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    const { found, wanted } = inventory();
    if (Bun.deepEquals(found, wanted)) return;
    await Bun.sleep(20);
  }
  const { found, wanted } = inventory();
  expect({ what, ...(found as object) }).toEqual({ what, ...(wanted as object) });
}

const TAR = { "Content-Type": "application/x-tar" };

interface Call {
  /** Before the disk gets full. */
  readonly before?: () => Promise<unknown>;
  readonly run: () => Promise<Answer<unknown>>;
  /** Takes away what a call that succeeded made, and what `before` made. */
  readonly after: () => Promise<unknown>;
}

const create = (name: string, body: object = {}) =>
  daemon.api("POST", `/containers/create?name=${name}`, { Image: "busybox", Cmd: ["sleep", "1000"], ...body });
const remove = (path: string) => daemon.api("DELETE", path);
const removeContainer = () => remove("/containers/one?force=1&v=1");

const calls: Readonly<Record<string, Call>> = {
  create: { run: () => create("one"), after: removeContainer },
  "create with an anonymous volume that is filled": {
    run: () => create("one", { Volumes: { "/bin": {} }, Labels: { long: "x".repeat(20_000) } }),
    after: removeContainer,
  },
  "create with a new named volume": {
    run: () => create("one", { HostConfig: { Binds: ["named:/bin"] } }),
    after: async () => [await removeContainer(), await remove("/volumes/named")],
  },
  start: { before: () => create("one"), run: () => daemon.api("POST", "/containers/one/start"), after: removeContainer },
  "start in a new directory": {
    before: () => create("one", { WorkingDir: "/a/b/c", HostConfig: { Binds: ["/usr:/new/mount/point"] } }),
    run: () => daemon.api("POST", "/containers/one/start"),
    after: removeContainer,
  },
  rename: {
    before: () => create("one"),
    run: () => daemon.api("POST", "/containers/one/rename?name=two"),
    after: () => daemon.removeContainers(),
  },
  "volume create": {
    run: () => daemon.api("POST", "/volumes/create", { Name: "volume", Labels: { long: "x".repeat(20_000) } }),
    after: () => remove("/volumes/volume"),
  },
  load: {
    run: () => daemon.api("POST", "/images/load?quiet=1", loadable, TAR),
    after: () => remove("/images/loaded"),
  },
  import: {
    run: () => daemon.api("POST", "/images/create?fromSrc=-&repo=imported", tar([{ name: "file", data: "x".repeat(10_000) }]), TAR),
    after: () => remove("/images/imported"),
  },
  commit: {
    before: async () => [
      await create("one", {
        Cmd: ["sh", "-c", "mkdir /new; for i in 1 2 3; do seq 2000 >/new/$i; done; rm -r /root; ln /new/1 /new/link"],
      }),
      await daemon.api("POST", "/containers/one/start"),
      await daemon.api("POST", "/containers/one/wait"),
    ],
    run: () => daemon.api("POST", "/commit?container=one&repo=committed"),
    after: async () => [await removeContainer(), await remove("/images/committed")],
  },
  "cp into a stopped container": {
    before: () => create("one"),
    run: () => daemon.api("PUT", "/containers/one/archive?path=/", loose, TAR),
    after: removeContainer,
  },
  "cp into a running container": {
    before: async () => [await create("one"), await daemon.api("POST", "/containers/one/start")],
    run: () => daemon.api("PUT", "/containers/one/archive?path=/", loose, TAR),
    after: removeContainer,
  },
  update: {
    before: async () => [await create("one"), await daemon.api("POST", "/containers/one/start")],
    run: () => daemon.api("POST", "/containers/one/update", { CpuShares: 100 }),
    after: removeContainer,
  },
  lease: { run: () => daemon.api("POST", "/leases", { Name: "lease", TTL: "1h" }), after: () => remove("/leases/lease") },
  tag: { run: () => daemon.api("POST", "/images/busybox/tag?repo=tagged"), after: () => remove("/images/tagged") },
};

/** Files that go into a container one by one: those before a failure stay, as with docker. */
const loose = tar(Array.from({ length: 5 }, (_, i) => ({ name: `dir${i}/file`, data: "x".repeat(5000) })));

const loadable = imageArchive({
  name: "loaded",
  layers: [tar([{ name: "a", data: "1" }]), tar(Array.from({ length: 5 }, (_, i) => ({ name: `file${i}`, data: "x".repeat(5000) })))],
});

/** Whether a call did what it was asked for; else what it said. A stream tells of its failure in its last line. */
function failure({ status, text }: Answer<unknown>): string | undefined {
  if (status >= 400) return text;
  return text.includes("errorDetail") ? text : undefined;
}

for (const [name, call] of Object.entries(calls)) {
  for (const kind of ["pages", "inodes"] as const) {
    test(`${name}, with room for n ${kind}`, async () => {
      await call.before?.();
      let failures = 0;
      // one by one at first: what is large is written in many equal steps
      for (let spare = 0; ; spare += 1 + (spare >> 4)) {
        expect(spare).toBeLessThan(4000);
        limits[kind](spare);
        const said = failure(await call.run());
        giveRoom();
        if (said === undefined) break;
        failures++;
        expect(said).toMatch(NO_SPACE);
        await expectNothingLeft(`${name}, ${spare} ${kind}`);
      }
      await expectNothingLeft(`${name}, done`);
      await call.after();
      await expectNothingLeft(`${name}, taken away`);
      console.log(`${name}: ${failures} times no room for ${kind}`);
    });
  }
}

test("what takes away and what only looks needs no room", async () => {
  await create("runs");
  await daemon.api("POST", "/containers/runs/start");
  await create("waits");
  await daemon.api("POST", "/volumes/create", { Name: "volume" });
  await daemon.api("POST", "/images/load?quiet=1", loadable, TAR);
  limits.pages(0);
  limits.inodes(0);
  for (const [method, path] of [
    ["GET", "/containers/json?all=1"],
    ["GET", "/containers/runs/json?size=1"],
    ["GET", "/containers/runs/logs?stdout=1"],
    ["GET", "/images/json"],
    ["GET", "/system/df"],
    ["GET", "/info"],
    ["POST", "/containers/runs/pause"],
    ["POST", "/containers/runs/unpause"],
    ["POST", "/containers/runs/stop?t=0"],
    ["DELETE", "/containers/runs"],
    ["DELETE", "/containers/waits"],
    ["DELETE", "/volumes/volume"],
    ["DELETE", "/images/loaded"],
    ["POST", "/images/prune"],
    ["POST", "/containers/prune"],
  ] as const) {
    const answer = await daemon.api(method, path);
    expect({ call: `${method} ${path}`, isDone: answer.status < 300, said: failure(answer) }).toEqual({
      call: `${method} ${path}`,
      isDone: true,
      said: undefined,
    });
  }
  giveRoom();
  await expectNothingLeft("deletions");
  expect(await daemon.ok("run", "--rm", "busybox", "echo", "hello")).toBe("hello");
});
