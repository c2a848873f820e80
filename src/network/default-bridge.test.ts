import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { DhowError } from "../lib/mod.ts";
import { addressOf, HOST, HOST6, Lab, OUTSIDE, OUTSIDE6, ports, take } from "./test-lab.ts";

const isRoot = process.getuid?.() === 0;
let lab: Lab;
beforeAll(() => {
  if (isRoot) lab = new Lab();
});
afterEach(() => lab?.reset());
afterAll(() => lab?.close());

describe.skipIf(!isRoot)("the default bridge (needs root)", () => {
  test("a bridge that somebody else made is used and stays, with its MTU", async () => {
    const bridge = "dhowtest4";
    lab.sh(undefined, `ip link add ${bridge} type bridge`);
    try {
      lab.sh(undefined, `ip link set ${bridge} mtu 1400 up; ip addr add 10.96.0.1/24 dev ${bridge}`);
      const db = lab.database();
      for (let life = 0; life < 2; life++) {
        const n = await lab.networking({ db, bridgeName: bridge, tableName: bridge, bip: undefined });
        expect((await take(n, "a")).endpoints[0]?.gateway).toBe("10.96.0.1");
        n.release("a");
        lab.end(n);
        expect(lab.sh(undefined, `ip link show ${bridge}`)).toContain("mtu 1400");
        expect(Bun.spawnSync(["nft", "list", "table", "ip", bridge], { stderr: "ignore" }).exitCode).not.toBe(0);
      }
    } finally {
      lab.sh(undefined, `ip link del ${bridge}`);
    }
  });

  test("a bridge goes with the daemon that made it, in whichever life, and not when somebody made it anew", async () => {
    const db = lab.database();
    lab.abandon(await lab.networking({ db }));
    expect(lab.links()).toContain("dhowtest0");
    lab.end(await lab.networking({ db }));
    expect(lab.links()).not.toContain("dhowtest0");
    lab.abandon(await lab.networking({ db }));
    lab.sh(undefined, "ip link del dhowtest0; ip link add dhowtest0 type bridge");
    try {
      lab.end(await lab.networking({ db }));
      expect(lab.links()).toContain("dhowtest0");
    } finally {
      lab.sh(undefined, "ip link del dhowtest0");
    }
  });

  test("--fixed-cidr is a part of the bridge's network, or all of it; the bridge's address is a host's", async () => {
    for (const [options, refusal] of [
      [{ bip: "10.95.0.0/24" }, 'error creating default "bridge" network: failed to allocate gateway (10.95.0.0): Address already in use'],
      [{ bip: "10.95.0.1/24", fixedCidr: "10.96.0.0/25" }, "invalid address subpool: --fixed-cidr is not a part of 10.95.0.0/24"],
      [{ bip: "10.95.0.1/24", fixedCidr: "10.95.0.0/23" }, "invalid address subpool: --fixed-cidr is not a part of 10.95.0.0/24"],
      [{ bip: undefined, fixedCidr: "198.51.100.0/24" }, "--fixed-cidr 198.51.100.0/24 overlaps 198.51.100.0/24 of interface wan0"],
    ] as const) {
      await expect(lab.networking({ poolSize: 0, ...options })).rejects.toThrow(refusal);
    }
    const n = await lab.networking({ bip: undefined, fixedCidr: "10.96.0.0/25", poolSize: 0 });
    const [endpoint] = (await take(n, "a")).endpoints;
    expect([endpoint?.ipv4, endpoint?.gateway]).toEqual([{ address: "10.96.0.2", prefixLength: 25 }, "10.96.0.1"]);
  });

  test("a small network is used to its last address, then says which setting to change; released ones come back", async () => {
    const n = await lab.networking({ bip: "10.95.0.1/29", poolSize: 0 });
    const got: string[] = [];
    for (const id of ["a", "b", "c", "d", "e"]) got.push(addressOf(await take(n, id)));
    expect(got).toEqual(["10.95.0.2", "10.95.0.3", "10.95.0.4", "10.95.0.5", "10.95.0.6"]);
    await expect(take(n, "f")).rejects.toThrow(/no available IPv4 addresses .* set a larger "bip" or "fixed-cidr"/);
    n.release("c");
    expect(addressOf(await take(n, "f"))).toBe("10.95.0.4");
  });

  test("the default bridge can have IPv6: published ports keep the client's address in both families", async () => {
    const n = await lab.networking({ hasIpv6: true, ulaSeed: "one" });
    const a = await take(n, "a", ports({ "80/tcp": "8080" }));
    expect(n.network("bridge")?.pools[1]?.subnet).toMatch(/^fd[0-9a-f]{2}:[0-9a-f]+:[0-9a-f]+::\/64$/);
    expect(addressOf(a, 6)).toEndWith("::2");
    await lab.serve(a.netnsPath, "a", 80);
    expect(await lab.ask({ netns: lab.outside, from: OUTSIDE6, host: HOST6, port: 8080 })).toBe(`a ${OUTSIDE6}`);
    expect(await lab.ask({ netns: lab.outside, host: HOST, port: 8080 })).toBe(`a ${OUTSIDE}`);
    expect(await lab.ask({ host: "::1", port: 8080 })).toStartWith("a ");
    const b = await take(n, "b");
    expect(await lab.ask({ netns: b.netnsPath, host: addressOf(a, 6), port: 80 })).toBe(`a ${addressOf(b, 6)}`);
    const other = await lab.networking({
      bridgeName: "dhowtest1",
      tableName: "dhowtest1",
      bip: "10.94.0.1/24",
      hasIpv6: true,
      ulaSeed: "two",
    });
    const c = await take(other, "c");
    expect(await lab.ask({ netns: c.netnsPath, host: addressOf(a, 6), port: 80 })).toBe("timeout");
  });

  test("the IPv6 network of the default bridge is the bridge's, that of --fixed-cidr-v6, or of the pools", async () => {
    const bridge = "dhowtest5";
    lab.sh(undefined, `ip link add ${bridge} type bridge; ip addr add fd00:5:1::88/60 dev ${bridge} nodad; ip link set ${bridge} up`);
    const ipv6 = async (options: Parameters<Lab["networking"]>[0]): Promise<unknown> => {
      const n = await lab.networking({ hasIpv6: true, poolSize: 0, ...options });
      const { subnet, ipRange, gateway } = n.network("bridge")?.pools[1] ?? {};
      lab.end(n);
      return [subnet, ipRange, gateway];
    };
    const own = { bridgeName: bridge, tableName: bridge, bip: "10.94.0.1/24" };
    try {
      expect(await ipv6(own)).toEqual(["fd00:5:1::/60", undefined, "fd00:5:1::88"]);
      expect(await ipv6({ ...own, fixedCidrV6: "fd00:5:1:4::/64" })).toEqual(["fd00:5:1::/60", "fd00:5:1:4::/64", "fd00:5:1::88"]);
      expect(await ipv6({ ...own, fixedCidrV6: "fd00:6::/64" })).toEqual(["fd00:6::/64", "fd00:6::/64", "fd00:6::1"]);
    } finally {
      lab.sh(undefined, `ip link del ${bridge}`);
    }
    const defaultAddressPools = [{ base: "fd00:7::/56", size: 64 }];
    expect(await ipv6({ defaultAddressPools })).toEqual(["fd00:7::/64", undefined, "fd00:7::1"]);
  });

  test("icc=false keeps containers of the bridge apart", async () => {
    const n = await lab.networking({ icc: false });
    const a = await take(n, "a", ports({ "80/tcp": "8080" }));
    const b = await take(n, "b");
    await lab.serve(a.netnsPath, "a", 80);
    expect(await lab.ask({ netns: b.netnsPath, host: addressOf(a), port: 80 })).not.toContain("a ");
    expect(await lab.ask({ netns: b.netnsPath, host: HOST, port: 8080 })).toStartWith("a ");
  });

  test("the default network keeps away from the host's routes; a table that somebody deleted comes back", async () => {
    const options = { bip: undefined, poolSize: 0, bridgeName: "dhowtest2", tableName: "dhowtest2" };
    const n = await lab.networking({ ...options, defaultAddressPools: [{ base: "198.51.100.0/23", size: 24 }] });
    expect(n.network("bridge")?.pools).toEqual([{ subnet: "198.51.101.0/24", gateway: "198.51.101.1" }]);
    Bun.spawnSync(["nft", "delete", "table", "ip", "dhowtest2"]);
    const a = await take(n, "a", ports({ "80/tcp": "8085" }));
    await lab.serve(a.netnsPath, "a", 80);
    expect(await lab.ask({ netns: lab.outside, host: HOST, port: 8085 })).toBe(`a ${OUTSIDE}`);
    const taken = { bridgeName: "dhowtest3", tableName: "dhowtest3", defaultAddressPools: [{ base: "198.51.100.0/24", size: 24 }] };
    const full = lab.networking({ ...options, ...taken });
    await expect(full).rejects.toThrow(DhowError);
    expect(readFileSync("/proc/sys/net/ipv4/ip_forward", "utf8").trim()).toBe("1");
  });
});
