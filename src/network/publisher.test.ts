import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { createServer } from "node:net";
import { HOST, Lab, OUTSIDE, ports, take } from "./test-lab.ts";

const isRoot = process.getuid?.() === 0;
let lab: Lab;
beforeAll(() => {
  if (isRoot) lab = new Lab();
});
afterEach(() => lab?.reset());
afterAll(() => lab?.close());

describe.skipIf(!isRoot)("publishing ports (needs root)", () => {
  test("a published port answers from outside with the client's address kept, from the host's loopback, and by hairpin", async () => {
    const n = await lab.networking();
    const a = await take(n, "a", ports({ "80/tcp": "8080", "80/udp": "8080" }));
    const b = await take(n, "b");
    expect(a.ports["80/tcp"]).toEqual([
      { HostIp: "0.0.0.0", HostPort: "8080" },
      { HostIp: "::", HostPort: "8080" },
    ]);
    await lab.serve(a.netnsPath, "a", 80);
    expect(await lab.ask({ netns: lab.outside, host: HOST, port: 8080 })).toBe(`a ${OUTSIDE}`);
    expect(await lab.ask({ host: "127.0.0.1", port: 8080 })).toBe("a 10.93.0.1");
    expect(await lab.ask({ host: HOST, port: 8080 })).toBe(`a ${HOST}`);
    expect(await lab.ask({ netns: b.netnsPath, host: HOST, port: 8080 })).toBe("a 10.93.0.1");
    expect(await lab.ask({ netns: a.netnsPath, host: HOST, port: 8080 })).toBe("a 10.93.0.1");
    expect(await lab.ask({ netns: b.netnsPath, host: "10.93.0.2", port: 80 })).toBe("a 10.93.0.3");
    expect(await lab.ask({ netns: lab.outside, host: HOST, port: 8080, protocol: "udp" })).toBe(`a ${OUTSIDE}`);
    expect(await lab.ask({ host: "127.0.0.1", port: 8080, protocol: "udp" })).toBe("a 10.93.0.1");
    expect(await lab.ask({ host: "::1", port: 8080 })).toBe("a 10.93.0.1");
    expect(await lab.ask({ host: "::1", port: 8080, protocol: "udp" })).toBe("a 10.93.0.1");
  });

  test("what is not published is not reached from outside, and the host's loopback not from a container", async () => {
    const n = await lab.networking();
    const a = await take(n, "a", ports({ "80/tcp": "127.0.0.1:8081" }));
    await lab.serve(a.netnsPath, "a", 80);
    expect(await lab.ask({ netns: lab.outside, host: "10.93.0.2", port: 80 })).toBe("timeout");
    expect(await lab.ask({ netns: lab.outside, host: HOST, port: 8081 })).toBe("ECONNREFUSED");
    expect(await lab.ask({ host: "127.0.0.1", port: 8081 })).toBe("a 10.93.0.1");
    await lab.serve(lab.host, "host", 7001);
    expect(await lab.ask({ host: "127.0.0.1", port: 7001 })).toBe("host 127.0.0.1");
    lab.sh(a.netnsPath, "ip route add 127.0.0.9/32 via 10.93.0.1; ip addr del 127.0.0.1/8 dev lo");
    lab.sh(a.netnsPath, "echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet");
    expect(await lab.ask({ netns: a.netnsPath, host: "127.0.0.9", port: 7001 })).not.toContain("host");
  });

  test("ranges that keep their number become one element and answer", async () => {
    const n = await lab.networking();
    const a = await take(n, "a", ports({ "8000/tcp": "8000", "8001/tcp": "8001", "8002/tcp": "8002", "8003/tcp": "8003" }));
    await lab.serve(a.netnsPath, "a", 8002);
    expect(await lab.ask({ netns: lab.outside, host: HOST, port: 8002 })).toBe(`a ${OUTSIDE}`);
    expect(lab.sh(undefined, "nft list table ip dhowtest0")).toContain("tcp . 8000-8003 : 10.93.0.2");
    n.release("a");
    expect(lab.sh(undefined, "nft list table ip dhowtest0")).not.toContain("8000-8003");
  });

  test("conflicts are found before anything starts, in docker's words, and leave nothing behind", async () => {
    const n = await lab.networking();
    await take(n, "a", ports({ "80/tcp": "8080" }));
    await expect(take(n, "b", ports({ "81/tcp": "8082", "80/tcp": "8080" }))).rejects.toThrow(
      /^driver failed programming external connectivity on endpoint b \([0-9a-f]{64}\): Bind for 0\.0\.0\.0:8080 failed: port is already allocated$/,
    );
    await take(n, "c", ports({ "81/tcp": "8082" }));
    await expect(take(n, "d", ports({ "80/tcp": "127.0.0.1:8080" }))).rejects.toThrow(
      /Bind for 127\.0\.0\.1:8080 failed: port is already allocated/,
    );
    n.release("a");
    expect((await take(n, "b", ports({ "80/tcp": "8080" }))).ports["80/tcp"]?.[0]?.HostPort).toBe("8080");
  });

  test("a port that a process of the host listens on is refused", async () => {
    const n = await lab.networking();
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(8090, "0.0.0.0", resolve));
    try {
      await expect(take(n, "a", ports({ "80/tcp": "8090" }))).rejects.toThrow(
        /failed to bind host port for 0\.0\.0\.0:8090:10\.93\.0\.\d:80\/tcp: address already in use$/,
      );
    } finally {
      server.close();
    }
  });

  test("a random port comes from the ephemeral range and is held against processes of the host", async () => {
    const n = await lab.networking();
    const s = await take(n, "a", ports({ "80/tcp": "" }));
    const port = Number(s.ports["80/tcp"]?.[0]?.HostPort);
    expect(port).toBeGreaterThanOrEqual(32768);
    expect(port).toBeLessThanOrEqual(60999);
    const server = createServer();
    const code = await new Promise((resolve) => {
      server.on("error", (e) => resolve("code" in e ? e.code : e));
      server.listen(port, "0.0.0.0", () => resolve("listening"));
    });
    server.close();
    expect(code).toBe("EADDRINUSE");
  });
});
