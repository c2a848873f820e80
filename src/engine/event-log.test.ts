import { afterAll, expect, test } from "bun:test";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nowNs, silentLogger } from "../lib/mod.ts";
import { EventLog } from "./event-log.ts";
import { EventHub, type RecordedEvent } from "./events.ts";

const root = mkdtempSync(join(tmpdir(), "dhow-events-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

let count = 0;
const openLog = (options: { readonly segmentBytes?: number; readonly dir?: string } = {}): EventLog & { readonly dir: string } => {
  const dir = options.dir ?? join(root, String(count++));
  return Object.assign(new EventLog(dir, { log: silentLogger, ...(options.segmentBytes && { segmentBytes: options.segmentBytes }) }), {
    dir,
  });
};
const event = (timeNs: bigint, id = String(timeNs)): RecordedEvent => ({
  ...{ type: "container", action: "start", id, attributes: { name: `line\nbreak ${id}`, image: "busybox" }, timeNs },
});
const FOREVER = 2n ** 62n;
const ids = async (log: EventLog, sinceNs = 0n, untilNs = FOREVER): Promise<string[]> => {
  const found: string[] = [];
  for await (const { id } of log.read(sinceNs, untilNs)) found.push(id);
  return found;
};

test("read() gives what append() got, both times included, also in a log that was opened again", async () => {
  using log = openLog();
  for (const time of [10n, 20n, 30n, 40n]) log.append(event(time));
  using again = openLog({ dir: log.dir });
  expect(await Array.fromAsync(again.read(20n, 30n))).toEqual([event(20n), event(30n)]);
  expect(statSync(join(log.dir, "current")).mode & 0o777).toBe(0o600);
});

test("the past is bounded: the oldest segment goes", async () => {
  using log = openLog({ segmentBytes: 1000 });
  for (let i = 1n; i <= 100n; i++) log.append(event(i));
  const kept = (await ids(log)).map(Number);
  expect(kept.length).toBeGreaterThan(8);
  expect(kept.length).toBeLessThan(25);
  expect(kept).toEqual(Array.from({ length: kept.length }, (_, i) => 101 - kept.length + i));
  expect(readFileSync(join(log.dir, "previous")).length).toBeLessThanOrEqual(1000);
});

test("a rotation while somebody reads neither hides events nor shows them twice", async () => {
  using log = openLog({ segmentBytes: 4000 });
  for (let i = 1n; i <= 60n; i++) log.append(event(i));
  const expected = await ids(log);
  const found: string[] = [];
  let next = 61n;
  for await (const { id } of log.read(0n, 60n)) {
    found.push(id);
    for (let i = 0; i < 10; i++) log.append(event(next++));
  }
  expect(found).toEqual(expected);
});

test("a line that was cut off is skipped, and the next one is not a part of it", async () => {
  using log = openLog();
  log.append(event(1n));
  const { dir } = log;
  appendFileSync(join(dir, "current"), '2 {"type":"contai');
  using again = openLog({ dir });
  again.append(event(3n));
  expect(await ids(again)).toEqual(["1", "3"]);
});

test("stream(): the past, then what happens, each once and in order", async () => {
  using log = openLog();
  new EventHub(log).emit({ type: "volume", action: "create", id: "before", attributes: {} });
  const hub = new EventHub(log);
  hub.emit({ type: "volume", action: "create", id: "a", attributes: {} });
  const abort = new AbortController();
  const seen: (string | undefined)[] = [];
  for await (const { Actor } of hub.stream({ sinceNs: 0n, filters: {}, signal: abort.signal })) {
    seen.push(Actor?.ID);
    if (Actor?.ID === "before") hub.emit({ type: "volume", action: "create", id: "b", attributes: {} });
    if (Actor?.ID === "b") hub.emit({ type: "volume", action: "create", id: "c", attributes: {} });
    if (Actor?.ID === "c") abort.abort();
  }
  expect(seen).toEqual(["before", "a", "b", "c"]);
  expect(hub.listeners).toBe(0);
});

test("stream(): all that is past when only its end is asked for", async () => {
  using log = openLog();
  const hub = new EventHub(log);
  for (const id of ["a", "b"]) hub.emit({ type: "volume", action: "create", id, attributes: {} });
  const seen = await Array.fromAsync(hub.stream({ untilNs: nowNs(), filters: {} }));
  expect(seen.map(({ Actor }) => Actor?.ID)).toEqual(["a", "b"]);
});
