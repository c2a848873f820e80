import { expect, test } from "bun:test";
import { idMapsOf, parseIdMapping, parseIdmapLabel } from "./idmap.ts";

const maps = (text: string, source = { uid: 1000, gid: 100 }, user = { uid: 0, gid: 0 }) => idMapsOf(parseIdMapping(text), source, user);

test("match-user makes the source's owner and the container's user each other, and leaves all others alone", () => {
  expect(maps("match-user").uidMap).toBe("0 1000 1\n1 1 999\n1000 0 1\n1001 1001 4294966294\n");
  expect(maps("").gidMap).toBe("0 100 1\n1 1 99\n100 0 1\n101 101 4294967194\n");
  expect(maps("match-user", { uid: 33, gid: 33 }, { uid: 33, gid: 33 }).uidMap).toBe("0 0 4294967295\n");
});

test("ranges are DISK-SHOWN-COUNT; without gids= groups stay", () => {
  expect(maps("uids=1000-0-1#2000-1-10#gids=100-0-1")).toEqual({ uidMap: "1000 0 1\n2000 1 10\n", gidMap: "100 0 1\n" });
  expect(maps("uids=1000-0-1;gids=100-0-1").gidMap).toBe("100 0 1\n");
  expect(maps("uids=1000-0-1").gidMap).toBe("0 0 4294967295\n");
});

test("what is no mapping is refused in words", () => {
  expect(() => parseIdMapping("nonsense")).toThrow('invalid idmap "nonsense": want match-user');
  expect(() => parseIdMapping("uids=1-2")).toThrow('"1-2" is not DISK-SHOWN-COUNT');
  expect(() => parseIdMapping("uids=0-0-4294967296")).toThrow("out of range");
  expect(() => parseIdMapping("uids=0-0-0")).toThrow("out of range");
  expect(() => parseIdMapping("uids=0-0-10#5-20-1")).toThrow("ranges overlap");
  expect(() => parseIdMapping("uids=0-0-10#50-5-1")).toThrow("ranges overlap");
  expect(() => parseIdMapping(`uids=${Array.from({ length: 341 }, (_, i) => `${i}-${i}-1`).join("#")}`)).toThrow("more than 340 ranges");
});

test("the label names destinations", () => {
  expect([...parseIdmapLabel("/data /src=uids=0-1000-1")]).toEqual([
    ["/data", "match-user"],
    ["/src", "uids=0-1000-1"],
  ]);
  expect(() => parseIdmapLabel("data=match-user")).toThrow('"data=match-user" is not /destination=idmap');
});
