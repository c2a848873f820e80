import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Database } from "./database.ts";

const STEP = { id: "1", sql: "CREATE TABLE things (name TEXT)" };

test("open() lets nobody else read the files, also where an older version did", () => {
  const dir = mkdtempSync(join(tmpdir(), "dhow-database-"));
  try {
    const path = join(dir, "db.sqlite");
    writeFileSync(path, "", { mode: 0o644 });
    using db = Database.open(path, [STEP]);
    db.sqlite.run("INSERT INTO things VALUES ('x')");
    for (const suffix of ["", "-wal", "-shm"]) expect(statSync(path + suffix).mode & 0o777).toBe(0o600);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

test("open() refuses what a newer version wrote", () => {
  const dir = mkdtempSync(join(tmpdir(), "dhow-database-"));
  try {
    const path = join(dir, "db.sqlite");
    Database.open(path, [STEP, { id: "2", sql: "CREATE TABLE more (name TEXT)" }])[Symbol.dispose]();
    expect(() => Database.open(path, [STEP])).toThrow('it was written by a newer version (schema step "2")');
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});
