import { describe, expect, test } from "bun:test";
import { chownSync, mkdirSync, readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "./errno.ts";
import { mountIdmapped, withFsIds } from "./idmapped.ts";
import { isRoot, temporaryDirectory } from "./test-support.ts";
import { UserNamespacePool } from "./user-namespace-pool.ts";
import { makeUserNamespaces } from "./user-namespaces.ts";

const MAP = { uidMap: "0 100000 65536\n", gidMap: "0 200000 65536\n" };

function fsIds(): string {
  const status = readFileSync("/proc/thread-self/status", "utf8");
  return `${/^Uid:.*\t(\d+)$/m.exec(status)?.[1]}:${/^Gid:.*\t(\d+)$/m.exec(status)?.[1]} ${/^CapEff:\s*(\w+)$/m.exec(status)?.[1]}`;
}

describe.skipIf(!isRoot)("user namespaces (skipped: needs root)", () => {
  test("makeUserNamespaces() makes a namespace of its own with the mapping, and leaves no process", async () => {
    using made = await makeUserNamespaces(MAP);
    using other = await makeUserNamespaces(MAP);
    const names = [made, other].map(({ userns }) => readlinkSync(`/proc/self/fd/${userns.fd}`));
    expect(new Set([...names, readlinkSync("/proc/self/ns/user")]).size).toBe(3);
    const inside = Bun.spawnSync(["nsenter", `--user=/proc/${process.pid}/fd/${made.userns.fd}`, "cat", "/proc/self/uid_map"]);
    expect(inside.stdout.toString().trim().split(/\s+/)).toEqual(["0", "100000", "65536"]);
  });

  test("makeUserNamespaces() makes a network namespace in one that is there, where its root is root", async () => {
    using made = await makeUserNamespaces(MAP);
    using joined = await makeUserNamespaces({ userns: made.userns });
    expect(readlinkSync(`/proc/self/fd/${joined.userns.fd}`)).toBe(readlinkSync(`/proc/self/fd/${made.userns.fd}`));
    const { userns, netns } = joined;
    const enter = ["nsenter", `--user=/proc/${process.pid}/fd/${userns.fd}`, `--net=/proc/${process.pid}/fd/${netns.fd}`];
    const write = Bun.spawnSync([...enter, "sh", "-c", "echo 7 >/proc/sys/net/ipv4/ip_unprivileged_port_start"]);
    expect(write.exitCode).toBe(0);
  });

  test("a pool gives a namespace of its own each time, ready or not, and leaves no process", async () => {
    const waiting = (): number =>
      readdirSync("/proc").filter((pid) => {
        try {
          return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/status`, "utf8").includes(`PPid:\t${process.pid}\n`);
        } catch {
          return false;
        }
      }).length;
    const before = waiting();
    const names = new Set<string>();
    {
      using pool = new UserNamespacePool();
      // all are kept: the number of one that has gone is given to another
      using kept = new DisposableStack();
      for (let round = 0; round < 5; round++) {
        const made = kept.use(await pool.take(MAP));
        names.add(readlinkSync(`/proc/self/fd/${made.userns.fd}`));
        if (round === 2) for (let waitedMs = 0; waiting() < before + 2 && waitedMs < 5000; waitedMs += 20) await Bun.sleep(20);
      }
      await expect(pool.take({ uidMap: "nonsense\n", gidMap: "" })).rejects.toThrow("map the ids of a user namespace");
    }
    expect(names.size).toBe(5);
    for (let waitedMs = 0; waiting() > before && waitedMs < 5000; waitedMs += 20) await Bun.sleep(20);
    expect(waiting()).toBeLessThanOrEqual(before);
  });

  test("mountIdmapped() shows files in the namespace's ids, also those below, and changes none on the disk", async () => {
    using tmp = temporaryDirectory();
    using made = await makeUserNamespaces(MAP);
    const [source, target] = [join(tmp.path, "a"), join(tmp.path, "b")];
    mkdirSync(source);
    mkdirSync(target);
    writeFileSync(join(source, "file"), "");
    chownSync(join(source, "file"), 33, 34);
    mountIdmapped(source, target, made.userns);
    expect(statSync(join(target, "file"))).toMatchObject({ uid: 100033, gid: 200034 });
    expect(statSync(join(source, "file"))).toMatchObject({ uid: 33, gid: 34 });
    // who is nobody in the namespace can't make files there
    expect(() => mkdirSync(join(target, "by-root"))).toThrow("EOVERFLOW");
    withFsIds({ uid: 100000, gid: 200000 }, () => mkdirSync(join(target, "d")));
    expect(statSync(join(source, "d"))).toMatchObject({ uid: 0, gid: 0 });
  });

  test("mountIdmapped() says no for a file system that can't", async () => {
    using tmp = temporaryDirectory();
    using made = await makeUserNamespaces(MAP);
    mkdirSync(join(tmp.path, "t"));
    let caught: unknown;
    try {
      mountIdmapped("/proc", join(tmp.path, "t"), made.userns);
    } catch (error) {
      caught = error;
    }
    expect(isErrno(caught, "EINVAL")).toBe(true);
  });

  test("withFsIds() keeps the capabilities and comes back, also after an error", () => {
    const before = fsIds();
    const capabilities = before.split(" ")[1];
    expect(withFsIds({ uid: 5, gid: 6 }, fsIds)).toBe(`5:6 ${capabilities}`);
    expect(() =>
      withFsIds({ uid: 5, gid: 6 }, () => {
        throw new Error("no");
      }),
    ).toThrow("no");
    expect(fsIds()).toBe(before);
  });
});
