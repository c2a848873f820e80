import { expect, test } from "bun:test";
import { Database, type LeaseRow, LeasesTable, MIGRATIONS } from "../../metadata/mod.ts";
import { LeaseBook, leaseDto, ttlOf } from "./book.ts";

const ROW: LeaseRow = {
  id: "ab".repeat(32),
  name: "one",
  createdAt: "2026-01-02T03:04:05Z",
  expiresMs: 1_767_323_045_000,
  pid: 0,
  process: "",
  hold: 1,
  graceS: 10,
  filters: '[{"label":["a=b"]}]',
  images: '["x:1"]',
  ending: 0,
};

test("ttlOf() reads durations as Go writes them, and nothing else", () => {
  expect(ttlOf({ "dhow.ttl": "1h30m" })).toBe(5_400_000);
  expect(ttlOf({ other: "10m" })).toBeUndefined();
  expect(ttlOf(null)).toBeUndefined();
  for (const text of ["", "10", "0s", "-1m", "soon"]) expect(() => ttlOf({ "dhow.ttl": text })).toThrow(`invalid label dhow.ttl "${text}"`);
});

test("a book finds leases by id, name and prefix, and forgets those that end", () => {
  using db = Database.open(":memory:", MIGRATIONS);
  const book = new LeaseBook(new LeasesTable(db));
  const entry = book.add(ROW);
  expect(() => book.add({ ...ROW, id: "cd".repeat(32) })).toThrow('The lease name "one" is already in use');
  for (const ref of [ROW.id, "one", "abab"]) expect(book.get(ref)).toBe(entry);
  for (const ref of ["two", "", "g"]) expect(() => book.get(ref)).toThrow(`No such lease: ${ref}`);
  book.check({ "dhow.lease": ROW.id });
  expect(() => book.check({ "dhow.lease": "none" })).toThrow("No such lease: none");
  book.end(entry);
  expect(() => book.get("one")).toThrow("No such lease: one");
  expect(() => book.check({ "dhow.lease": ROW.id })).toThrow("No such lease");
});

test("a book is read again as it was written", () => {
  using db = Database.open(":memory:", MIGRATIONS);
  const book = new LeaseBook(new LeasesTable(db));
  book.change(book.add(ROW), { images: '["x:1","y:2"]' });
  const [again] = new LeaseBook(new LeasesTable(db)).list();
  expect(again && leaseDto(again)).toEqual({
    Id: ROW.id,
    Name: "one",
    Created: "2026-01-02T03:04:05Z",
    Expires: "2026-01-02T03:04:05Z",
    Pid: 0,
    Hold: true,
    GraceSeconds: 10,
    Holders: 0,
    Filters: [{ label: ["a=b"] }],
    Images: ["x:1", "y:2"],
  });
});
