import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { addressOf, HOST, Lab, OUTSIDE, ports, take } from "./test-lab.ts";

const isRoot = process.getuid?.() === 0;
let lab: Lab;
beforeAll(() => {
  if (isRoot) lab = new Lab();
});
afterEach(() => lab?.reset());
afterAll(() => lab?.close());

describe.skipIf(!isRoot)("Networking, from daemon to daemon (needs root)", () => {
  test("the next daemon keeps endpoints of living containers, and their traffic, and drops the others", async () => {
    const db = lab.database();
    const first = await lab.networking({ db });
    const a = await take(first, "a", ports({ "80/tcp": "8080" }));
    const b = await take(first, "b", ports({ "80/tcp": "8083" }));
    await lab.serve(a.netnsPath, "a", 80);
    const pid = lab.keep(a.netnsPath);
    lab.keep(b.netnsPath);
    lab.abandon(first);
    expect(await lab.ask({ netns: lab.outside, host: HOST, port: 8080 })).toBe(`a ${OUTSIDE}`);
    const second = await lab.networking({ db });
    expect(await lab.ask({ netns: lab.outside, host: HOST, port: 8080 })).toBe(`a ${OUTSIDE}`);
    expect(await lab.ask({ host: "::1", port: 8080 })).toBe("a 10.93.0.1");
    second.adopt(new Map([["a", pid]]));
    expect(second.sandbox("a")).toMatchObject({ endpoints: a.endpoints, ports: a.ports });
    expect(second.sandbox("b")).toBeUndefined();
    expect(await lab.ask({ netns: lab.outside, host: HOST, port: 8083 })).toBe("ECONNREFUSED");
    const c = await take(second, "c", ports({ "80/tcp": "8083" }));
    expect([addressOf(a), addressOf(b)]).not.toContain(addressOf(c));
    await expect(take(second, "d", ports({ "80/tcp": "8080" }))).rejects.toThrow(/port is already allocated/);
  });

  test("two daemons work side by side and their containers reach each other over published ports only", async () => {
    const one = await lab.networking();
    const two = await lab.networking({ bridgeName: "dhowtest1", tableName: "dhowtest1", bip: "10.94.0.1/24" });
    const a = await take(one, "a", ports({ "80/tcp": "8080" }));
    const b = await take(two, "b", ports({ "80/tcp": "8084" }));
    await lab.serve(a.netnsPath, "a", 80);
    await lab.serve(b.netnsPath, "b", 80);
    expect(await lab.ask({ netns: lab.outside, host: HOST, port: 8080 })).toBe(`a ${OUTSIDE}`);
    expect(await lab.ask({ netns: lab.outside, host: HOST, port: 8084 })).toBe(`b ${OUTSIDE}`);
    expect(await lab.ask({ netns: b.netnsPath, host: HOST, port: 8080 })).toStartWith("a ");
    expect(await lab.ask({ netns: b.netnsPath, host: addressOf(a), port: 80 })).toBe("timeout");
    await expect(take(two, "c", ports({ "80/tcp": "8080" }))).rejects.toThrow(/address already in use/);
  });

  test("a second daemon with the same bridge, or with a network of another bridge, is refused and leaves nothing", async () => {
    await lab.networking();
    await expect(lab.networking()).rejects.toThrow('bridge "dhowtest0" is in use by another daemon; choose another --bridge');
    for (const bip of ["10.93.0.1/24", "10.93.0.129/25", "10.93.1.1/16"]) {
      await expect(lab.networking({ bridgeName: "dhowtest1", tableName: "dhowtest1", bip })).rejects.toThrow(
        `requested network overlaps with existing network: --bip ${bip} overlaps 10.93.0.0/24 of interface dhowtest0; choose another --bip`,
      );
    }
    // the network of an interface that is no bridge may be divided, not taken
    await expect(lab.networking({ bridgeName: "dhowtest2", tableName: "dhowtest2", bip: "198.51.100.9/24" })).rejects.toThrow(
      "of interface wan0",
    );
    expect(lab.links().filter((name) => name.startsWith("dhow"))).toEqual(["dhowtest0"]);
  });

  test("kill -9 leaves published ports working and nothing of the sandboxes that were made ahead", async () => {
    using stack = new DisposableStack();
    const directory = stack.adopt(mkdtempSync(join(tmpdir(), "dhow-net-")), (path) => rmSync(path, { recursive: true }));
    const path = join(directory, "killed.sqlite");
    const rooms = new URL("..", import.meta.url).pathname;
    const code = `
      const { Networking, parsePortSpecs } = await import("${rooms}network/mod.ts");
      const { Database, MIGRATIONS } = await import("${rooms}metadata/mod.ts");
      const { silentLogger } = await import("${rooms}lib/mod.ts");
      const db = Database.open(${JSON.stringify(path)}, MIGRATIONS);
      const n = new Networking({ db, log: silentLogger, bridgeName: "dhowtest0", tableName: "dhowtest0", bip: "10.93.0.1/24", poolSize: 3 });
      await n.start();
      while (n.readyCount < 4) await Bun.sleep(5);
      const ports = parsePortSpecs({ exposedPorts: {}, portBindings: { "80/tcp": [{ HostPort: "8080" }] }, publishAll: false });
      for (const id of ["a", "b"]) console.log((await n.acquire(id, { endpoints: [{ networkId: n.network("bridge").id, names: [] }], containerName: id, ports: id === "a" ? ports : { requests: [], exposed: [] } })).netnsPath);
      setInterval(() => {}, 1000);`;
    const daemon = Bun.spawn([process.execPath, "-e", code], { stdout: "pipe", stderr: "inherit" });
    const reader = daemon.stdout.getReader();
    let text = "";
    while (text.split("\n").length < 3) text += Buffer.from((await reader.read()).value ?? []).toString();
    const [netns = ""] = text.split("\n");
    const pid = lab.keep(netns);
    await lab.serve(netns, "a", 80);
    daemon.kill(9);
    await daemon.exited;
    expect(await lab.ask({ netns: lab.outside, host: HOST, port: 8080 })).toBe(`a ${OUTSIDE}`);
    const n = await lab.networking({ db: lab.database(path), poolSize: 0 });
    n.adopt(new Map([["a", pid]]));
    expect(n.sandboxes().map((x) => x.containerId)).toEqual(["a"]);
    expect(await lab.ask({ netns: lab.outside, host: HOST, port: 8080 })).toBe(`a ${OUTSIDE}`);
    const plugged = (): number => lab.links().filter((name) => name.startsWith("veth")).length;
    for (let i = 0; i < 250 && plugged() > 1; i++) await Bun.sleep(50);
    expect(plugged()).toBe(1);
  }, 20_000);

  test("other people's tables stay as they are, and a chain that drops forwarded packets is named", async () => {
    const foreign = "table ip theirs {\n\tchain FORWARD {\n\t\ttype filter hook forward priority filter; policy drop;\n\t}\n}\n";
    Bun.spawnSync(["nft", "-f", "-"], { stdin: Buffer.from(foreign) });
    try {
      const n = await lab.networking();
      await take(n, "a", ports({ "80/tcp": "8080" }));
      for (let i = 0; i < 100 && n.warnings.length === 0; i++) await Bun.sleep(20);
      expect(n.warnings.join()).toContain("chain FORWARD of table ip theirs drops forwarded packets");
      n.release("a");
      lab.end(n);
      expect(Bun.spawnSync(["nft", "list", "ruleset"]).stdout.toString()).toBe(foreign);
      expect(lab.links()).not.toContain("dhowtest0");
    } finally {
      Bun.spawnSync(["nft", "delete", "table", "ip", "theirs"]);
    }
  });
});
