/** `docker diff`: what a container has changed, told as docker tells it. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { Daemon } from "../daemon.ts";

let daemon: Daemon;

beforeAll(async () => {
  daemon = await Daemon.start();
}, 120_000);

afterAll(() => daemon?.[Symbol.asyncDispose]());

afterEach(() => daemon.removeContainers());

async function diffOf(name: string): Promise<string[]> {
  const text = await daemon.ok("diff", name);
  return text === "" ? [] : text.split("\n");
}

/** Runs a script in a new container to its end and tells what `docker diff` says then. */
async function diffAfter(script: string, ...options: readonly string[]): Promise<string[]> {
  await daemon.ok("run", "--name", "cc", ...options, "busybox", "sh", "-c", script);
  return diffOf("cc");
}

test("a container that did nothing has no changes: created, running, stopped", async () => {
  await daemon.ok("create", "--name", "cc", "busybox", "sleep", "1000");
  expect(await diffOf("cc")).toEqual([]);
  expect((await daemon.api("GET", "/containers/cc/changes")).json).toBeNull();
  await daemon.ok("start", "cc");
  expect(await diffOf("cc")).toEqual([]);
  await daemon.ok("kill", "cc");
  expect(await diffOf("cc")).toEqual([]);
});

test("added, changed and deleted paths, each after the directories that hold it", async () => {
  const script = "mkdir -p /n/m; echo x > /n/m/f; echo a > /etc/foo; chmod 600 /etc/passwd; rm /bin/ls; rm -r /var/spool";
  const lines = ["C /bin", "D /bin/ls", "C /etc", "A /etc/foo", "C /etc/passwd", "A /n", "A /n/m", "A /n/m/f", "C /var", "D /var/spool"];
  expect(await diffAfter(script)).toEqual(lines);
});

test("while it runs, what it has just done", async () => {
  await daemon.ok("run", "-d", "--name", "cc", "busybox", "sleep", "1000");
  await daemon.ok("exec", "cc", "sh", "-c", "echo > /one; rm /etc/group");
  expect(await diffOf("cc")).toEqual(["C /etc", "D /etc/group", "A /one"]);
});

test("kinds are numbers in the API", async () => {
  await daemon.ok("run", "--name", "cc", "busybox", "sh", "-c", "echo > /etc/a; rm -r /home");
  expect((await daemon.api("GET", "/containers/cc/changes")).json as unknown).toEqual([
    { Path: "/etc", Kind: 0 },
    { Path: "/etc/a", Kind: 1 },
    { Path: "/home", Kind: 2 },
  ]);
});

test("of what is mounted nothing is told, but the places that were made for it", async () => {
  const script =
    "echo x > /data/x; echo x > /bound/x; echo x > /mem/x; echo 1.2.3.4 h >> /etc/hosts; echo > /etc/resolv.conf; touch /dev/shm/x";
  expect(await diffAfter(script, "-v", "/data", "-v", `${daemon.dir}:/bound`, "--tmpfs", "/mem")).toEqual([
    "A /bound",
    "A /data",
    "A /mem",
  ]);
});

test("what the engine puts into every container counts only when it was changed", async () => {
  expect(await diffAfter("rm /etc/mtab; echo mine > /etc/mtab; mkdir /etc/new")).toEqual(["C /etc", "C /etc/mtab", "A /etc/new"]);
});

test("a directory that was made, and made again in the place of another", async () => {
  const script = "rm -r /var/spool; mkdir -p /var/spool/new; mkdir /plain; mkdir /gone; rmdir /gone";
  expect(await diffAfter(script)).toEqual(["A /plain", "C /var", "C /var/spool", "D /var/spool/mail", "A /var/spool/new"]);
});

test("the working directory that was made for it", async () => {
  expect(await diffAfter("true", "-w", "/work/dir")).toEqual(["A /work", "A /work/dir"]);
});

test("the working directory behind a link to nothing, which is made where the link leads", async () => {
  await daemon.ok("run", "--name", "linked", "busybox", "ln", "-s", "/nothing/at", "/link");
  await daemon.ok("commit", "linked", "linked");
  expect(await daemon.ok("run", "--name", "worked", "-w", "/link/dir", "linked", "pwd")).toBe("/nothing/at/dir");
  expect((await diffOf("worked")).sort()).toEqual(["A /nothing", "A /nothing/at", "A /nothing/at/dir"]);
  for (const path of ["/bin/busybox", "/bin/busybox/below"]) {
    const { stderr } = await daemon.docker("run", "--rm", "-w", path, "busybox", "true");
    expect(stderr).toContain(`Cannot mkdir: ${path} is not a directory`);
  }
});

test("names that are no UTF-8 don't break the answer", async () => {
  const lines = await diffAfter("echo > $(printf '/bad\\377name'); echo > '/ü ö'");
  expect(lines).toHaveLength(2);
  expect(lines).toContain("A /ü ö");
});

test("a container that is not there", async () => {
  expect((await daemon.docker("diff", "nosuch")).stderr).toContain("No such container: nosuch");
  expect((await daemon.api("GET", "/containers/nosuch/changes")).status).toBe(404);
});
