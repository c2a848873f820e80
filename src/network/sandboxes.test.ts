import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { O_RDONLY, open } from "../linux/mod.ts";
import { EndpointsTable } from "../metadata/mod.ts";
import { addressOf, HOST, Lab, OUTSIDE, ports, take } from "./test-lab.ts";

const isRoot = process.getuid?.() === 0;
let lab: Lab;
beforeAll(() => {
  if (isRoot) lab = new Lab();
});
afterEach(() => lab?.reset());
afterAll(() => lab?.close());

describe.skipIf(!isRoot)("sandboxes (needs root)", () => {
  test("acquire() gives an addressed, routed sandbox that reaches hosts outside as the host", async () => {
    const n = await lab.networking();
    const s = await take(n, "a");
    expect(s).toMatchObject({
      endpoints: [{ ipv4: { address: "10.93.0.2", prefixLength: 24 }, gateway: "10.93.0.1", macAddress: "02:42:0a:5d:00:02" }],
      ports: {},
    });
    await lab.serve(lab.outside, "outside", 7000);
    expect(await lab.ask({ netns: s.netnsPath, host: OUTSIDE, port: 7000 })).toBe(`outside ${HOST}`);
  });

  test("after release() nothing is left: interfaces, ports, rows; the address rests", async () => {
    const db = lab.database();
    const n = await lab.networking({ db, poolSize: 0 });
    const s = await take(n, "a", ports({ "80/tcp": "8080" }));
    n.release("a");
    const t = await take(n, "b", ports({ "80/tcp": "8080" }));
    expect(addressOf(t)).not.toBe(addressOf(s));
    n.release("b");
    const plugged = (): string[] => lab.links().filter((name) => name.startsWith("veth"));
    // the kernel takes namespaces down one after the other, those of the whole machine
    for (let i = 0; i < 1000 && plugged().length > 0; i++) await Bun.sleep(50);
    expect(plugged()).toEqual([]);
    expect(db.sqlite.query("SELECT container_id FROM sandboxes UNION SELECT container_id FROM plugs").all()).toEqual([]);
  }, 60_000);

  test("what the last daemon was plugging into a container, or out of it, goes; what the container made itself stays", async () => {
    const db = lab.database();
    const n = await lab.networking({ db });
    const s = await take(n, "a");
    const pid = lab.keep(s.netnsPath);
    for (const name of ["eth1", "lan0123456789", "eth7"]) lab.sh(s.netnsPath, `ip link add ${name} type veth peer name p${name.slice(-1)}`);
    const table = new EndpointsTable(db);
    for (const name of ["eth0", "eth1"]) table.notePlugging("a", name);
    lab.abandon(n);
    const next = await lab.networking({ db });
    next.adopt(new Map([["a", pid]]));
    const names = lab.sh(`/proc/${pid}/ns/net`, "ip -br link");
    expect(names.match(/^[^ @]+/gm)?.toSorted()).toEqual(["eth0", "eth7", "lo", "p7"]);
    expect(table.plugging("a")).toEqual([]);
  });

  test("an endpoint of a LAN leaves no note, made or refused", async () => {
    const db = lab.database();
    const n = await lab.networking({ db });
    await take(n, "a");
    const lan = await n.createNetwork({
      ...{ name: "lan", driver: "macvlan", isInternal: false, isAttachable: false, isConfigOnly: false, configFrom: "" },
      ...{ hasIpv4: true, hasIpv6: false, ipamDriver: "default", ipamOptions: {}, pools: [{ subnet: "10.97.0.0/24" }] },
      ...{ options: { parent: "wan0" }, labels: {} },
    });
    const wish = { networkId: lan.id, names: [] };
    const table = new EndpointsTable(db);
    await n.connect("a", wish);
    expect(table.plugging("a")).toEqual([]);
    await n.disconnect("a", lan.id);
    expect(table.plugging("a")).toEqual([]);
    // a name that the kernel refuses
    await expect(n.connect("a", { ...wish, options: { "com.docker.network.endpoint.ifname": "all" } })).rejects.toThrow();
    for (const [name, refusal] of [
      ["lo", 'interface name "lo" is in use in this container'],
      [".", 'invalid interface name "."'],
      ["a/b", 'invalid interface name "a/b"'],
    ] as const) {
      await expect(n.connect("a", { ...wish, options: { "com.docker.network.endpoint.ifname": name } })).rejects.toThrow(refusal);
    }
    expect(table.plugging("a")).toEqual([]);
    await n.removeNetwork(lan.id);
  });

  test("an interface whose namespace somebody still holds goes with the daemon", async () => {
    const n = await lab.networking({ poolSize: 0 });
    const s = await take(n, "a");
    using _held = open(s.netnsPath, O_RDONLY);
    n.release("a");
    lab.end(n);
    expect(lab.links()).toEqual(["lo", "wan0"]);
  });

  test("mode none has a loopback and nothing else; a wanted MAC address is set; counters count", async () => {
    const n = await lab.networking();
    const none = await n.acquire("n", { containerName: "n", ports: ports({}), endpoints: [] });
    expect(lab.sh(none.netnsPath, "ip -br link")).toMatch(/^lo +UNKNOWN.*$/);
    const s = await take(n, "m", ports({}), [{ networkId: n.network("bridge")?.id ?? "", names: [], mac: "02:42:00:00:00:99" }]);
    expect(s.endpoints[0]?.macAddress).toBe("02:42:00:00:00:99");
    const text = lab.sh(s.netnsPath, "ip addr");
    expect(text).toContain("02:42:00:00:00:99");
    expect(text).not.toContain("inet6 fe80");
    await lab.serve(lab.outside, "outside", 7002);
    expect(await lab.ask({ netns: s.netnsPath, host: OUTSIDE, port: 7002 })).toBe(`outside ${HOST}`);
    const stats = n.stats("m");
    expect(stats["eth0"]?.rx_bytes).toBeGreaterThan(0);
    expect(stats["eth0"]?.tx_packets).toBeGreaterThan(2);
    expect(n.stats("n")).toEqual({});
  });
});
