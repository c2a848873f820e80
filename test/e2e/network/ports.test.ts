import { afterAll, afterEach, expect, test } from "bun:test";
import { connect } from "node:net";
import { Daemon, until } from "../daemon.ts";

const daemon = await Daemon.start();
afterAll(() => daemon[Symbol.asyncDispose]());
afterEach(() => daemon.removeContainers());

/** Containers that say their name on TCP ports. */
const serve = (name: string, ports: readonly number[], ...options: readonly string[]): Promise<string> => {
  const command = [...ports.map((port) => `nc -ll -p ${port} -e echo ${name}-${port} &`), "wait"].join(" ");
  return daemon.ok("run", "-d", "--name", name, ...options, "busybox", "sh", "-c", command);
};

/** What a TCP server says; empty when it says nothing. */
function ask(port: number, host = "127.0.0.1"): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    const socket = connect({ host, port });
    socket.setTimeout(500, () => socket.destroy());
    socket.on("data", (data) => {
      text += data.toString();
    });
    socket.on("error", () => resolve(text));
    socket.on("close", () => resolve(text.trim()));
  });
}

const change = (name: string, body: object) => daemon.api<{ Ports: object; message?: string }>("POST", `/containers/${name}/ports`, body);
const place = async (name: string) => {
  const { HostConfig, Config, NetworkSettings } = await daemon.inspect<{
    HostConfig: { PortBindings: object; PublishAllPorts: boolean };
    Config: { Labels: object };
    NetworkSettings: { Ports: object };
  }>(name);
  return { bindings: HostConfig.PortBindings, all: HostConfig.PublishAllPorts, labels: Config.Labels, ports: NetworkSettings.Ports };
};
const table = (): string => Bun.spawnSync(["nft", "list", "table", "ip", daemon.bridge]).stdout.toString();

test("ports of a running container are added and taken back; a restart has them as they are", async () => {
  await serve("web", [80, 81], "-p", "127.0.0.1:18080:80");
  await until("an answer", async () => (await ask(18080)) === "web-80");
  const added = await change("web", {
    Add: [
      { ContainerPort: 81, HostIp: "127.0.0.1", HostPort: "18081" },
      { ContainerPort: 82, Protocol: "udp", HostPort: "18082" },
    ],
  });
  expect(added.status).toBe(200);
  expect(Object.keys(added.json.Ports)).toEqual(["80/tcp", "81/tcp", "82/udp"]);
  expect(await ask(18081)).toBe("web-81");
  expect(await daemon.ok("port", "web", "81")).toBe("127.0.0.1:18081");
  expect(await daemon.ok("ps", "--format", "{{.Ports}}")).toContain("127.0.0.1:18081->81/tcp");
  expect((await change("web", { Remove: [{ HostPort: "18080" }, { ContainerPort: 82, Protocol: "udp" }] })).status).toBe(200);
  expect(await ask(18080)).toBe("");
  expect(await ask(18081)).toBe("web-81");
  expect((await place("web")).bindings).toEqual({ "81/tcp": [{ HostIp: "127.0.0.1", HostPort: "18081" }] });
  await daemon.kill9();
  await daemon.launch();
  expect(await ask(18081)).toBe("web-81");
  expect(await ask(18080)).toBe("");
  await daemon.ok("restart", "-t", "0", "web");
  await until("an answer", async () => (await ask(18081)) === "web-81");
  expect(await daemon.ok("port", "web")).toBe("81/tcp -> 127.0.0.1:18081");
});

test("a list of sources is kept in the labels, and is one for all that publishes the port", async () => {
  await serve("db", [80], "-p", "127.0.0.1:18090:80", "--label", "dhow.port.80/tcp.allow=192.0.2.0/24", "--label", "other=1");
  expect(table()).toContain("192.0.2.0/24");
  const second = { ContainerPort: 80, HostIp: "127.0.0.1", HostPort: "18091" };
  const refused = await change("db", { Add: [{ ...second, Allow: ["10.0.0.0/8"] }] });
  expect([refused.status, refused.json.message]).toEqual([
    409,
    expect.stringMatching(/^Cannot update container [0-9a-f]{64}: port 80\/tcp is published for 192\.0\.2\.0\/24: all that publishes it/),
  ]);
  expect((await change("db", { Add: [second] })).status).toBe(200);
  const moved = await change("db", {
    Remove: [{ ContainerPort: 80 }],
    Add: [{ ...second, Allow: ["10.0.0.0/8", "192.0.2.1", "10.1.0.0/16"] }],
  });
  expect(moved.status).toBe(200);
  expect((await place("db")).labels).toEqual({ other: "1", "dhow.port.80/tcp.allow": "10.0.0.0/8,192.0.2.1/32,10.1.0.0/16" });
  expect(table()).not.toContain("192.0.2.0/24");
  expect(table()).toContain("10.0.0.0/8 .");
  const { Warnings } = (
    await daemon.api<{ Warnings: string[] }>("POST", "/containers/create", {
      Image: "busybox",
      Labels: { "dhow.port.81/tcp.allow": "10.0.0.1" },
    })
  ).json;
  expect(Warnings).toEqual(["Label dhow.port.81/tcp.allow has no effect: the container does not publish that port"]);
});

test("containers that don't run, those with -P, those without a network: what is asked for is kept, or refused", async () => {
  await daemon.ok("create", "--name", "idle", "-p", "127.0.0.1:18100-18102:80", "busybox", "sleep", "1000");
  expect((await change("idle", { Remove: [{ HostPort: "18100-18102" }], Add: [{ ContainerPort: 81, HostIp: "127.0.0.1" }] })).status).toBe(
    200,
  );
  expect((await place("idle")).bindings).toEqual({ "81/tcp": [{ HostIp: "127.0.0.1", HostPort: "" }] });
  await daemon.ok("start", "idle");
  expect(await daemon.ok("port", "idle")).toMatch(/^81\/tcp -> 127\.0\.0\.1:\d+$/);

  await daemon.ok("run", "-d", "--name", "all", "-P", "--expose", "80-82", "busybox", "sleep", "1000");
  expect((await change("all", { Add: [{ ContainerPort: 80, HostPort: "18110" }] })).status).toBe(200);
  const any = { HostIp: "", HostPort: "" };
  expect(await place("all")).toMatchObject({ bindings: { "80/tcp": [any, { HostIp: "", HostPort: "18110" }] }, all: true });
  expect((await change("all", { Remove: [{ ContainerPort: 81 }] })).status).toBe(200);
  const left = { "80/tcp": [any, { HostIp: "", HostPort: "18110" }], "82/tcp": [any] };
  expect(await place("all")).toMatchObject({ bindings: left, all: false, ports: { "81/tcp": null } });

  await daemon.ok("run", "-d", "--name", "bare", "--network", "none", "busybox", "sleep", "1000");
  for (const [name, body, status, text] of [
    ["bare", { Add: [{ ContainerPort: 80 }] }, 400, "conflicting options: port publishing and the none network mode"],
    ["all", { Remove: [{ HostPort: "9" }] }, 404, "container all does not publish 9/tcp"],
    [
      "all",
      { Remove: [{ HostPort: "80" }] },
      404,
      /container all does not publish 80\/tcp \(but 0\.0\.0\.0:\d+:80\/tcp, .*0\.0\.0\.0:18110:80\/tcp/,
    ],
    ["all", { Remove: [{ HostPort: "18110", ContainerPort: 82 }] }, 404, /does not publish 18110:82\/tcp \(but 0\.0\.0\.0:\d+:82\/tcp/],
    ["all", { Remove: [{ HostIp: "[0::1]", HostPort: "18110-18111" }] }, 404, "container all does not publish [0::1]:18110/tcp"],
    ["all", { Remove: [{ HostPort: "18110" }, { HostPort: "18111", ContainerPort: 99 }] }, 404, "does not publish 18111:99/tcp"],
    ["all", { Remove: [{}] }, 400, "no port specified: a publication that is to go needs one"],
    ["all", { Add: [{ ContainerPort: 0 }] }, 400, 'invalid port specification: "0"'],
    ["all", { Add: [{ ContainerPort: 80, HostPort: "x" }] }, 400, 'invalid port specification: "x"'],
    ["all", { Add: [{ ContainerPort: 80, Protocol: "icmp" }] }, 400, "invalid proto: icmp"],
    ["all", { Add: [{ ContainerPort: 90, Allow: ["here"] }] }, 400, 'invalid address "here"'],
    [
      "all",
      {
        Remove: [{ HostPort: "18110" }],
        Add: [
          { ContainerPort: 82, HostPort: "18110" },
          { ContainerPort: 83, HostPort: "18110" },
        ],
      },
      500,
      "Bind for 0.0.0.0:18110 failed: port is already allocated",
    ],
  ] as const) {
    const answer = await change(name, body);
    expect([answer.status, answer.json.message]).toEqual([
      status,
      typeof text === "string" ? expect.stringContaining(text) : expect.stringMatching(text),
    ]);
  }
  expect((await place("all")).bindings).toEqual(left);
});

test("an address is the same one, however it is written", async () => {
  await daemon.ok("create", "--name", "six", "-p", "[::1]:18130:80", "-p", "[::1]:18131:81", "busybox", "sleep", "1000");
  expect((await change("six", { Remove: [{ HostIp: "0:0::1", HostPort: "18130", ContainerPort: 80 }] })).status).toBe(200);
  expect((await place("six")).bindings).toEqual({ "81/tcp": [{ HostIp: "::1", HostPort: "18131" }] });
});

test("kill -9 while ports are changed leaves a container with the ports that its record has", async () => {
  await serve("web", [80], "-p", "127.0.0.1:18120:80");
  for (let round = 0; round < 3; round++) {
    const add = { ContainerPort: 81, HostIp: "127.0.0.1", HostPort: "18121" };
    const busy = (async () => {
      for (;;) {
        await change("web", { Add: [add] });
        await change("web", { Remove: [{ HostPort: "18121" }] });
      }
    })().catch(() => {});
    await Bun.sleep(20 + round * 7);
    await daemon.kill9();
    await busy;
    await daemon.launch();
    const { bindings, ports } = await place("web");
    const isThere = Object.hasOwn(bindings, "81/tcp");
    expect(Object.entries(ports).filter(([, rows]) => rows !== null)).toHaveLength(isThere ? 2 : 1);
    expect(table().includes("18121")).toBe(isThere);
    expect(await ask(18120)).toBe("web-80");
    if (isThere) expect((await change("web", { Remove: [{ HostPort: "18121" }] })).status).toBe(200);
  }
});
