/** The table of rooms, as data: a file imports from its own room and from rooms with a smaller number, through their door. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

const ROOT = join(import.meta.dir, "..");

/** Number = layer. Rooms of the same number never see each other. */
const LAYERS: Readonly<Record<string, number>> = {
  lib: 0,
  spec: 1,
  linux: 2,
  files: 3,
  metadata: 3,
  plugins: 3,
  content: 3,
  snapshots: 4,
  runtime: 4,
  network: 4,
  volumes: 4,
  registry: 4,
  images: 5,
  build: 6,
  engine: 7,
  server: 8,
  sdk: 8,
  compose: 9,
  cli: 10,
  daemon: 11,
};

/** What is served and what serves: they know the engine only by the interfaces in spec/engine. */
const FRONT_DOORS: ReadonlySet<string> = new Set(["server", "sdk", "compose", "cli"]);
/** What a front door may import. */
const BEHIND_FRONT_DOORS: ReadonlySet<string> = new Set(["lib", "spec", "linux", "files", ...FRONT_DOORS]);
/** A room in which every part has a door of its own. */
const ROOMS_OF_PARTS: ReadonlySet<string> = new Set(["spec"]);

interface Import {
  readonly from: string;
  readonly to: string;
}

/** src/engine/containers/create.ts → "engine"; files directly in src (main.ts, embed.ts, …) belong to no room. */
function roomOf(path: string): string | undefined {
  const parts = path.split("/");
  return parts[0] === "src" && parts.length > 2 ? parts[1] : undefined;
}

const IMPORT = /^[ \t]*(?:import|export)\b[^;"'`]*?\bfrom\s*"([^"]+)"|^[ \t]*import\s*"([^"]+)"|\bimport\(\s*"([^"]+)"/gm;

/** The imports in a file's text: of values and of types, static and at run time, and what it passes on. */
function importsOf(from: string, source: string): readonly Import[] {
  return [...source.matchAll(IMPORT)].map((match) => {
    const to = match[1] ?? match[2] ?? match[3] ?? "";
    return { from, to: to.startsWith(".") ? normalize(join(dirname(from), to)) : to };
  });
}

function isDoor(room: string, path: string): boolean {
  if (path === `src/${room}/mod.ts`) return true;
  if (!ROOMS_OF_PARTS.has(room)) return false;
  const parts = path.split("/");
  return parts.length === 3 || (parts.length === 4 && parts[3] === "mod.ts");
}

/** Why an import is not allowed; undefined when it is. */
function fault({ from, to }: Import): string | undefined {
  const room = roomOf(from);
  if (to === "bun:ffi" && room !== "linux" && from.startsWith("src/")) return "only linux/ makes system calls";
  const target = roomOf(to);
  if (room === undefined) return undefined;
  if (/^src\/[^/]+$/.test(to)) return "rooms don't know the files that put them together";
  if (target === undefined || target === room) return undefined;
  const [layer, targetLayer] = [LAYERS[room], LAYERS[target]];
  if (layer === undefined || targetLayer === undefined) return "not in the table of rooms";
  if (FRONT_DOORS.has(room) && !BEHIND_FRONT_DOORS.has(target)) return "front doors know the engine only by spec/engine";
  if (targetLayer === layer) return `${room} and ${target} are on the same layer (${layer})`;
  if (targetLayer > layer) return `${room} is on layer ${layer}, ${target} above it on ${targetLayer}`;
  // A test may look at how another room's promise is kept, and uses the suites of the seams.
  if (!isDoor(target, to) && !from.endsWith(".test.ts")) return `the door of ${target} is its mod.ts`;
  return undefined;
}

function sources(): readonly string[] {
  return [...new Bun.Glob("src/**/*.ts").scanSync({ cwd: ROOT })].sort();
}

test("every room is in the table", () => {
  const rooms = new Set(sources().map(roomOf));
  rooms.delete(undefined);
  expect([...rooms].filter((room) => room !== undefined && LAYERS[room] === undefined)).toEqual([]);
});

test("imports go down, through doors", () => {
  const faults = sources()
    .flatMap((path) => importsOf(path, readFileSync(join(ROOT, path), "utf8")))
    .flatMap((line) => {
      const why = fault(line);
      return why === undefined ? [] : [`${line.from} → ${line.to}: ${why}`];
    });
  expect(faults).toEqual([]);
});

test("the rules find what they are for", () => {
  const why = (from: string, to: string): string => fault({ from, to }) ?? "allowed";
  expect(why("src/images/a.ts", "src/engine/mod.ts")).toContain("above it");
  expect(why("src/runtime/a.ts", "src/network/mod.ts")).toContain("same layer");
  expect(why("src/engine/a.ts", "src/network/ipam.ts")).toContain("door");
  expect(why("src/engine/a.ts", "src/network/mod.ts")).toBe("allowed");
  expect(why("src/cli/a.ts", "src/engine/mod.ts")).toContain("front doors");
  expect(why("src/cli/a.ts", "src/spec/engine/mod.ts")).toBe("allowed");
  expect(why("src/cli/a.ts", "src/spec/engine/dto.ts")).toContain("door");
  expect(why("src/runtime/a.ts", "bun:ffi")).toContain("linux");
  expect(why("src/lib/a.ts", "src/embed.ts")).toContain("together");
  expect(why("src/embed.ts", "src/daemon/engine.ts")).toBe("allowed");
  expect(why("src/cli/a.ts", "src/daemon/daemon.ts")).toContain("front doors");
  expect(why("src/engine/a.ts", "src/daemon/engine.ts")).toContain("above it");
});

test("imports are found in all their forms", () => {
  const source = `
import a from "./a.ts";
import { type B, b } from "./b.ts";
import type {
  C,
  D,
} from "./c.ts";
import * as d from "../d.ts";
import "./e.ts";
export { f } from "./f.ts";
export * from "./g.ts";
const text = "a word from", other = "x.ts";
const h = await import("./h.ts");
type I = import("./i.ts").I;
`;
  const found = importsOf("src/room/file.ts", source).map((line) => line.to);
  expect(found).toEqual(
    ["room/a", "room/b", "room/c", "d", "room/e", "room/f", "room/g", "room/h", "room/i"].map((name) => `src/${name}.ts`),
  );
});
