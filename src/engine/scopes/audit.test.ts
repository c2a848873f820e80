import { expect, test } from "bun:test";
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger } from "../../lib/mod.ts";
import type { AuditRecord } from "../../spec/engine/mod.ts";
import { AuditLog } from "./audit.ts";

const log = createLogger({ level: () => "error", format: "text", write: () => {} });

function record(path: string): AuditRecord {
  return { time: "2026-01-02T03:04:05Z", pid: 1, uid: 0, gid: 0, method: "GET", path, status: 200, allowed: true };
}

async function paths(records: AsyncIterable<AuditRecord>): Promise<string[]> {
  const found: string[] = [];
  for await (const { path } of records) found.push(path);
  return found;
}

test("records are kept through another daemon and a rotation, as far as they fit", async () => {
  const dir = mkdtempSync(join(tmpdir(), "dhow-audit-"));
  try {
    const path = join(dir, "sub/x.jsonl");
    {
      using first = new AuditLog(path, { log, segmentBytes: 250 });
      for (const n of ["/1", "/2", "/3"]) first.append(record(n));
    }
    appendFileSync(path, '{"broken');
    using audit = new AuditLog(path, { log, segmentBytes: 250 });
    for (const n of ["/4", "/5"]) audit.append(record(n));
    expect(readFileSync(`${path}.1`, "utf8")).toContain("/3");
    expect(await paths(audit.read({ tail: -1, follow: false }))).toEqual(["/3", "/4", "/5"]);
    expect(await paths(audit.read({ tail: 1, follow: false }))).toEqual(["/5"]);
    expect(await paths(audit.read({ tail: 0, follow: false }))).toEqual([]);
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test("what is recorded while a follower reads the past is told once", async () => {
  const dir = mkdtempSync(join(tmpdir(), "dhow-audit-"));
  try {
    using audit = new AuditLog(join(dir, "x.jsonl"), { log });
    audit.append(record("/old"));
    for (const [tail, wanted] of [
      [0, ["/a"]],
      [-1, ["/old", "/a", "/b"]],
    ] as const) {
      const records = audit.read({ tail, follow: true });
      const first = records.next();
      audit.append(record(tail === 0 ? "/a" : "/b"));
      const found = [(await first).value?.path];
      while (found.length < wanted.length) found.push((await records.next()).value?.path);
      expect(found).toEqual([...wanted]);
      await records.return(undefined);
    }
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test("a follower gets the last records, then each new one once, until it is gone", async () => {
  const dir = mkdtempSync(join(tmpdir(), "dhow-audit-"));
  try {
    using audit = new AuditLog(join(dir, "x.jsonl"), { log });
    audit.append(record("/old"));
    const gone = new AbortController();
    const records = audit.read({ tail: 1, follow: true, signal: gone.signal });
    expect((await records.next()).value?.path).toBe("/old");
    const next = records.next();
    audit.append(record("/new"));
    expect((await next).value?.path).toBe("/new");
    const end = records.next();
    gone.abort();
    expect((await end).done).toBe(true);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
