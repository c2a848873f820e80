import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { bridge, Lab, ports, take } from "./test-lab.ts";

const isRoot = process.getuid?.() === 0;
let lab: Lab;
beforeAll(() => {
  if (isRoot) lab = new Lab();
});
afterEach(() => lab?.reset());
afterAll(() => lab?.close());

const on = (networkId: string, more: object = {}) => ({ networkId, names: [], ...more });

describe.skipIf(!isRoot)("default routes (needs root)", () => {
  test("connect() is refused, and leaves nothing, where the container made a default route of its own", async () => {
    const n = await lab.networking();
    const inner = await bridge(n, "inner", { subnets: ["10.101.0.0/24"], isInternal: true });
    const outer = await bridge(n, "outer", { subnets: ["10.102.0.0/24"] });
    const { netnsPath } = await take(n, "a", ports({}), [inner]);
    lab.sh(netnsPath, "ip route add default via 10.101.0.1");
    await expect(n.connect("a", on(outer))).rejects.toThrow("failed to set gateway: file exists");
    expect(n.endpointsOn(outer)).toEqual([]);
    n.settle();
    expect(lab.sh(netnsPath, "ip -o link")).not.toContain("eth1");
    expect(lab.sh(netnsPath, "ip route show default")).toContain("via 10.101.0.1 dev eth0");
    lab.sh(netnsPath, "ip route del default");
    await n.connect("a", on(outer));
    expect(lab.sh(netnsPath, "ip route show default")).toContain("via 10.102.0.1 dev eth1");
  });

  test("a container's own route stays while its networks come and go behind it", async () => {
    const n = await lab.networking();
    const first = await bridge(n, "first", { subnets: ["10.101.0.0/24"] });
    const second = await bridge(n, "second", { subnets: ["10.102.0.0/24"] });
    const { netnsPath } = await take(n, "a", ports({}), [first]);
    lab.sh(netnsPath, "ip route replace default via 10.101.0.9");
    await n.connect("a", on(second));
    await n.disconnect("a", second);
    expect(lab.sh(netnsPath, "ip route show default")).toContain("via 10.101.0.9 dev eth0");
  });

  test("disconnect() goes on where the next network can't have the route, and connect() brings it back", async () => {
    const n = await lab.networking();
    const first = await bridge(n, "first", { subnets: ["10.101.0.0/24"] });
    const second = await bridge(n, "second", { subnets: ["10.102.0.0/24"] });
    const { netnsPath } = await take(n, "a", ports({}), [on(first, { gwPriority: 1 }), second]);
    lab.sh(netnsPath, "ip link set eth1 down");
    await n.disconnect("a", first);
    expect(lab.sh(netnsPath, "ip route show default").trim()).toBe("");
    await n.connect("a", on(first));
    expect(lab.sh(netnsPath, "ip route show default")).toContain("via 10.101.0.1 dev eth0");
  });

  test("an endpoint without IPv6 has no address and no route of it", async () => {
    const n = await lab.networking({ hasIpv6: true });
    const both = await bridge(n, "both", { subnets: ["10.101.0.0/24", "fd01::/64"] });
    const endpoints = [on(n.network("bridge")?.id ?? "", { isWithoutIpv6: true }), on(both, { isWithoutIpv6: true })];
    const sandbox = await take(n, "a", ports({ "80/tcp": "8080" }), endpoints);
    expect(sandbox.endpoints.map(({ ipv6, ipv6Gateway }) => [ipv6, ipv6Gateway])).toEqual([
      [undefined, ""],
      [undefined, ""],
    ]);
    expect(lab.sh(sandbox.netnsPath, "ip -6 -o addr show scope global").trim()).toBe("");
    expect(lab.sh(sandbox.netnsPath, "ip -6 route show default").trim()).toBe("");
    expect(lab.sh(sandbox.netnsPath, "ip route show default")).toContain("default via");
    const { netnsPath } = await take(n, "b", ports({}), [on(both)]);
    await n.connect("a", on(await bridge(n, "six", { subnets: ["fd02::/64"] })));
    expect(lab.sh(sandbox.netnsPath, "ip -6 route show default")).toContain("via fd02::1 dev eth2");
    expect(lab.sh(netnsPath, "ip -6 route show default")).toContain("via fd01::1");
  });
});
