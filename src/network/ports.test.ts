import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { bridge, HOST, HOST6, Lab, OTHER, OTHER6, OUTSIDE, OUTSIDE6, ports, take } from "./test-lab.ts";

const isRoot = process.getuid?.() === 0;
let lab: Lab;
beforeAll(() => {
  if (isRoot) lab = new Lab();
});
afterEach(() => lab?.reset());
afterAll(() => lab?.close());

const table = (family = "ip"): string => Bun.spawnSync(["nft", "list", "table", family, "dhowtest0"]).stdout.toString();

describe.skipIf(!isRoot)("published ports with sources (needs root)", () => {
  test("who is in the list comes in, others hear nothing, the host itself always does", async () => {
    const n = await lab.networking();
    const allow = { "80/tcp": [`${OUTSIDE}/32`, "10.93.0.0/16", "10.93.0.3/32"], "80/udp": [`${OTHER}/32`] };
    const a = await take(n, "a", ports({ "80/tcp": ["8080", "8081"], "80/udp": "8080", "81/tcp": "8082" }, allow));
    const b = await take(n, "b");
    await lab.serve(a.netnsPath, "a", 80);
    const { outside: netns } = lab;
    const at = (more: object) => lab.ask({ netns, host: HOST, port: 8080, ...more });
    expect(await at({})).toBe(`a ${OUTSIDE}`);
    expect(await at({ port: 8081 })).toBe(`a ${OUTSIDE}`);
    expect(await at({ from: OTHER })).toBe("timeout");
    expect(await at({ from: OTHER, port: 8081 })).toBe("timeout");
    expect(await at({ protocol: "udp" })).toBe("timeout");
    expect(await at({ protocol: "udp", from: OTHER })).toBe(`a ${OTHER}`);
    expect(await at({ netns: b.netnsPath })).toStartWith("a ");
    expect(await at({ netns: undefined, host: "127.0.0.1" })).toStartWith("a ");
    expect(await at({ netns: undefined })).toBe(`a ${HOST}`);
    // another list of the same network leaves its containers out
    n.release("a");
    const c = await take(n, "c", ports({ "80/tcp": "8080" }, { "80/tcp": [`${OUTSIDE}/32`] }));
    await lab.serve(c.netnsPath, "c", 80);
    expect(await at({ netns: b.netnsPath })).toBe("timeout");
    expect(await at({})).toBe(`c ${OUTSIDE}`);
    n.release("c");
    expect(table()).not.toContain("8080");
    expect(table()).not.toContain("10.93.0.2 . tcp");
  });

  test("IPv6 clients of a container without IPv6 are held to the list by the daemon", async () => {
    const n = await lab.networking();
    const allow = { "80/tcp": [`${OUTSIDE6}/128`], "80/udp": [`${OUTSIDE6}/128`] };
    const a = await take(n, "a", ports({ "80/tcp": "8080", "80/udp": "8080" }, allow));
    await lab.serve(a.netnsPath, "a", 80);
    for (const protocol of ["tcp", "udp"] as const) {
      const at = (more: object) => lab.ask({ netns: lab.outside, host: HOST6, port: 8080, protocol, ...more });
      expect(await at({ from: OUTSIDE6 })).toBe("a 10.93.0.1");
      expect(await at({ from: OTHER6 })).toBe(protocol === "tcp" ? "ECONNRESET" : "timeout");
      expect(await at({ netns: undefined, host: "::1" })).toBe("a 10.93.0.1");
      expect(await at({ netns: undefined })).toBe("a 10.93.0.1");
    }
    expect(await lab.ask({ netns: lab.outside, host: HOST, port: 8080 })).toBe("timeout");
  });

  test("IPv6 clients of a container with IPv6 keep their address and are held to the list by the kernel", async () => {
    const n = await lab.networking();
    const id = await bridge(n, "six", { subnets: ["10.94.0.0/24", "fd94::/64"] });
    const allow = { "81/tcp": [`${OUTSIDE6}/128`, "fd94::/64"] };
    const a = await take(n, "a", ports({ "80/tcp": "8080", "80/udp": "8080", "81/tcp": "8081" }, allow), [id]);
    await lab.serve(a.netnsPath, "a", 80);
    await lab.serve(a.netnsPath, "b", 81);
    const at = (more: object) => lab.ask({ netns: lab.outside, from: OUTSIDE6, host: HOST6, port: 8080, ...more });
    expect(await at({})).toBe(`a ${OUTSIDE6}`);
    expect(await at({ protocol: "udp" })).toBe(`a ${OUTSIDE6}`);
    expect(await at({ from: OTHER6 })).toBe(`a ${OTHER6}`);
    expect(await at({ port: 8081 })).toBe(`b ${OUTSIDE6}`);
    expect(await at({ port: 8081, from: OTHER6 })).toBe("timeout");
    expect(await at({ netns: undefined, from: undefined })).toStartWith("a ");
    expect(await at({ netns: undefined, from: undefined, host: "::1" })).toBe("a fd94::1");
    expect(await at({ netns: undefined, from: undefined, host: "::1", port: 8081 })).toBe("b fd94::1");
    expect(await at({ netns: a.netnsPath, from: undefined })).toStartWith("a ");
  });
});
