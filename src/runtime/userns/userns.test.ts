import { describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { createLogger, DhowError, errorMessage, silentLogger } from "../../lib/mod.ts";
import type { AccountFiles } from "./accounts.ts";
import { allocateMappings, type IdPool, parseAutoUserns, readIdPool } from "./auto.ts";
import { areSameMappings, hostOwner, hostRoot, type IdMappings, idsFromZero, mapText, ownerInside, ownerOutside } from "./id-mapping.ts";
import { type AccountTools, remappedRoot, shadowTools } from "./remap.ts";
import { findFreeIds, firstFreeId, mapInOrder, parseSubordinateIds } from "./subordinate-ids.ts";

function messageOf(work: () => unknown): string {
  try {
    work();
    return "nothing thrown";
  } catch (error) {
    return errorMessage(error);
  }
}

interface Etc extends Disposable {
  readonly root: string;
  readonly files: AccountFiles;
}

const PASSWD = "root:x:0:0::/root:/bin/sh\nalice:x:1001:1001::/:/bin/sh\nbob:x:1002:50::/:/bin/sh\n";

/** A host's account files. */
function etc(subuid = "", subgid = subuid, passwd = PASSWD, group = "root:x:0:\nalice:x:1001:\nstaff:x:50:\n"): Etc {
  const root = mkdtempSync(join(tmpdir(), "dhow-userns-"));
  const path = (name: string): string => join(root, "etc", name);
  mkdirSync(join(root, "etc"));
  for (const [name, text] of Object.entries({ passwd, group, subuid, subgid, shadow: "", gshadow: "" })) writeFileSync(path(name), text);
  const files = { passwd: path("passwd"), group: path("group"), subuid: path("subuid"), subgid: path("subgid"), asksGetent: false };
  return { root, files, [Symbol.dispose]: () => rmSync(root, { recursive: true }) };
}

const NO_TOOLS: AccountTools = {
  addUser: (name) => {
    throw new DhowError("unavailable", `no tool for ${name}`);
  },
  addRanges: () => {},
};
const remap = (text: string, { files }: Etc, tools = NO_TOOLS): IdMappings | undefined => remappedRoot(text, silentLogger, files, tools);

describe("subordinate ids", () => {
  test("parseSubordinateIds() takes lines of three, and no others", () => {
    expect(parseSubordinateIds("# all\n\nalice:100000:65536\n 1002:5:10 \n", "/etc/subuid")).toEqual([
      { owner: "alice", start: 100000, size: 65536 },
      { owner: "1002", start: 5, size: 10 },
    ]);
    for (const line of ["alice:1", "alice:1:2:3", "alice"])
      expect(messageOf(() => parseSubordinateIds(line, "/etc/subuid"))).toBe(
        "cannot parse subuid/gid information: Format not correct for /etc/subuid file",
      );
    for (const line of ["alice:x:5", "alice:-1:5", "alice:1:99999999999"])
      expect(messageOf(() => parseSubordinateIds(line, "/etc/subgid"))).toStartWith(
        "String to int conversion failed during subuid/gid parsing of /etc/subgid: ",
      );
  });

  test("mapInOrder() puts ranges one after the other", () => {
    const ranges = [
      { start: 500, size: 10 },
      { start: 100, size: 5 },
    ];
    expect(mapInOrder(ranges)).toEqual([
      { containerID: 0, hostID: 500, size: 10 },
      { containerID: 10, hostID: 100, size: 5 },
    ]);
  });

  test("free ids lie in the pool and touch nothing that is taken", () => {
    const range = fc.record({ start: fc.nat(200), size: fc.integer({ min: 1, max: 40 }) });
    const overlaps = (a: { start: number; size: number }, b: { start: number; size: number }): boolean =>
      a.start < b.start + b.size && b.start < a.start + a.size;
    fc.assert(
      fc.property(
        fc.array(range, { maxLength: 4 }),
        fc.array(range, { maxLength: 8 }),
        fc.integer({ min: 1, max: 30 }),
        (pool, taken, size) => {
          const found = findFreeIds(pool, taken, size);
          const isFree = (start: number): boolean =>
            pool.some((p) => start >= p.start && start + size <= p.start + p.size) && !taken.some((t) => overlaps(t, { start, size }));
          if (found !== undefined) return isFree(found);
          return !Array.from({ length: 250 }, (_, start) => start).some(isFree);
        },
      ),
    );
    expect(
      firstFreeId(
        [
          { start: 165536, size: 10 },
          { start: 100000, size: 65536 },
        ],
        65536,
        100000,
      ),
    ).toBe(165546);
  });
});

describe("mappings", () => {
  const mappings: IdMappings = {
    uids: [
      { containerID: 0, hostID: 1000, size: 10 },
      { containerID: 20, hostID: 5000, size: 1 },
    ],
    gids: [{ containerID: 0, hostID: 2000, size: 50 }],
  };

  test("translate owners both ways", () => {
    expect(hostRoot(mappings)).toEqual({ uid: 1000, gid: 2000 });
    expect(hostOwner(mappings, { uid: 20, gid: 49 })).toEqual({ uid: 5000, gid: 2049 });
    expect(hostOwner(mappings, { uid: 11, gid: 50 })).toEqual({ uid: 1000, gid: 2000 });
    expect(ownerInside(mappings, { uid: 1009, gid: 7 })).toEqual({ uid: 9, gid: 65534 });
    expect(ownerOutside(mappings, { uid: 9, gid: 1 })).toEqual({ uid: 1009, gid: 2001 });
    expect(messageOf(() => ownerOutside(mappings, { uid: 10, gid: 1 }))).toBe("Container ID 10 cannot be mapped to a host ID");
  });

  test("tell their size, their text, and whether they are the same", () => {
    expect([idsFromZero(mappings.uids), idsFromZero(mappings.gids), idsFromZero([])]).toEqual([10, 50, 0]);
    expect(mapText(mappings.uids)).toBe("0 1000 10\n20 5000 1\n");
    expect(areSameMappings(mappings, { ...mappings, uids: [...mappings.uids].reverse() })).toBe(true);
    expect(areSameMappings(mappings, { ...mappings, uids: mappings.gids })).toBe(false);
  });
});

describe("--userns-remap", () => {
  test("takes users and groups by name and number, and their ranges, those by number first", () => {
    using host = etc("alice:100000:65536\nbob:300000:10\nalice:200000:5\n1002:7:8\n");
    const alice = [
      { containerID: 0, hostID: 100000, size: 65536 },
      { containerID: 65536, hostID: 200000, size: 5 },
    ];
    for (const text of ["alice", "1001", "alice:alice", "alice:staff", "1001:50"])
      expect(remap(text, host)).toEqual({ uids: alice, gids: alice });
    const bob = [{ containerID: 0, hostID: 7, size: 8 }];
    expect(remap("bob:staff", host)).toEqual({ uids: bob, gids: bob });
  });

  test("says what is wrong in dockerd's words", () => {
    using host = etc("alice:1:5\n", "");
    const of = (text: string): string => messageOf(() => remap(text, host));
    expect(of("a:b:c")).toBe('Invalid user/group specification in --userns-remap: "a:b:c"');
    expect(of("carol")).toBe('Error during uid lookup for "carol": no matching entries in passwd file');
    expect(of("bob")).toBe('Error during gid lookup for "bob": no matching entries in group file');
    expect(of("77")).toBe("Uid 77 has no entry in /etc/passwd: no matching entries in passwd file");
    expect(of("1002")).toBe("Gid 1002 has no entry in /etc/group: no matching entries in group file");
    expect(of("alice:nogroup")).toBe('Error during groupname lookup for "nogroup": no matching entries in group file');
    expect(of("alice:77")).toBe("Gid 77 has no entry in /etc/passwd: no matching entries in group file");
    expect(of("bob:staff")).toBe('Can\'t create ID mappings: no subuid ranges found for user "bob"');
    expect(of("alice")).toBe('Can\'t create ID mappings: no subgid ranges found for user "alice"');
    expect(of("default")).toBe('Error during "dockremap" user creation: no tool for dockremap');
    using wrong = etc("alice:1\n");
    expect(messageOf(() => remap("alice", wrong))).toContain("Format not correct");
  });

  test("root is not remapped", () => {
    using host = etc();
    const lines: string[] = [];
    const log = createLogger({ level: "info", format: "text", write: (line) => lines.push(line) });
    expect(remappedRoot("root", log, host.files, NO_TOOLS)).toBeUndefined();
    expect(lines.join("")).toContain("root cannot be remapped with itself; user namespaces are OFF");
  });

  test.skipIf(process.getuid?.() !== 0)("default makes the user dockremap with ids that nobody has, once (skipped: needs root)", () => {
    using host = etc("alice:100000:65536\nbob:165536:10\n");
    const tools = shadowTools(["--prefix", host.root]);
    const made = remap("default", host, tools);
    expect(made?.uids).toEqual([{ containerID: 0, hostID: 165546, size: 65536 }]);
    expect(readFileSync(host.files.passwd, "utf8")).toContain("\ndockremap:x:");
    expect(readFileSync(host.files.subgid, "utf8")).toBe("alice:100000:65536\nbob:165536:10\ndockremap:165546:65536\n");
    expect(remap("default", host)).toEqual(made);
  });

  test.skipIf(process.getuid?.() !== 0)(
    "default gives ids where there are no files for them, and to a user that got none (skipped: needs root)",
    () => {
      using host = etc("", "", `${PASSWD}dockremap:x:990:990::/nonexistent:/bin/false\n`, "dockremap:x:990:\n");
      for (const path of [host.files.subuid, host.files.subgid]) rmSync(path);
      expect(remap("default", host, shadowTools(["--prefix", host.root]))?.gids).toEqual([{ containerID: 0, hostID: 100000, size: 65536 }]);
    },
  );
});

describe("--userns=auto", () => {
  const pool: IdPool = { name: "pool", uids: [{ start: 1000, size: 100 }], gids: [{ start: 5000, size: 100 }] };

  test("parseAutoUserns() reads podman's options", () => {
    expect(parseAutoUserns("auto")).toEqual({ size: 65536, uids: [], gids: [] });
    expect(parseAutoUserns("auto:size=5,uidmapping=0:1:2,gidmapping=3:4:5,gidmapping=9:9:1")).toEqual({
      size: 5,
      uids: [{ containerID: 0, hostID: 1, size: 2 }],
      gids: [
        { containerID: 3, hostID: 4, size: 5 },
        { containerID: 9, hostID: 9, size: 1 },
      ],
    });
    for (const bad of ["size=0", "size=x", "size=-1", "uidmapping=1:2", "uidmapping=1:2:0", "x=y", "", "uidmapping=0:1:2,uidmapping=1:9:1"])
      expect(messageOf(() => parseAutoUserns(`auto:${bad}`))).toStartWith(`invalid USER mode: auto:${bad}: `);
  });

  test("allocateMappings() fills the gaps between fixed ids", () => {
    const asked = parseAutoUserns("auto:size=10,uidmapping=3:77:2,gidmapping=0:78:10");
    expect(allocateMappings(asked, pool, [])).toEqual({
      uids: [
        { containerID: 0, hostID: 1000, size: 3 },
        { containerID: 3, hostID: 77, size: 2 },
        { containerID: 5, hostID: 1003, size: 5 },
      ],
      gids: [{ containerID: 0, hostID: 78, size: 10 }],
    });
  });

  test("allocateMappings() gives no id twice, fills the pool, and uses again what was given back", () => {
    const asked = parseAutoUserns("auto:size=25");
    const taken: IdMappings[] = [];
    for (let i = 0; i < 4; i++) taken.push(allocateMappings(asked, pool, taken));
    expect(taken.map(({ uids, gids }) => [uids[0]?.hostID, gids[0]?.hostID])).toEqual([
      [1000, 5000],
      [1025, 5025],
      [1050, 5050],
      [1075, 5075],
    ]);
    expect(messageOf(() => allocateMappings(asked, pool, taken))).toBe(
      "no 25 ids in a row are left for a user namespace: of the 100 ids of --userns-pool=pool containers have 100: remove containers, ask for fewer ids (auto:size=N), or make the pool larger",
    );
    taken.splice(1, 1);
    expect(hostRoot(allocateMappings(asked, pool, taken))).toEqual({ uid: 1025, gid: 5025 });
  });

  test("allocateMappings() refuses fixed ids of others", () => {
    const other: IdMappings = { uids: [{ containerID: 0, hostID: 300, size: 10 }], gids: [] };
    for (const host of [1099, 309, 299])
      expect(messageOf(() => allocateMappings(parseAutoUserns(`auto:uidmapping=0:${host}:2`), pool, [other]))).toContain(
        "belong to other containers",
      );
  });

  test("readIdPool() takes a name in the files, or a range", () => {
    using host = etc("containers:1000:5\nalice:1:1\ncontainers:9000:6\n");
    expect(readIdPool("containers", host.files).uids).toEqual([
      expect.objectContaining({ start: 1000, size: 5 }),
      expect.objectContaining({ start: 9000, size: 6 }),
    ]);
    expect(readIdPool("70:30", host.files)).toEqual({ name: "70:30", uids: [{ start: 70, size: 30 }], gids: [{ start: 70, size: 30 }] });
    expect(messageOf(() => readIdPool("nobody", host.files))).toContain("--userns-pool=START:SIZE");
    for (const bad of ["0:5", "1:0", "1:9999999999"])
      expect(messageOf(() => readIdPool(bad, host.files))).toContain("invalid --userns-pool");
  });
});
