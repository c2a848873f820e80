import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { Daemon, oldDockerCli, until } from "../daemon.ts";

const daemon = await Daemon.start();
afterAll(() => daemon[Symbol.asyncDispose]());
afterEach(() => daemon.removeContainers());

test("version and info", async () => {
  expect(await daemon.ok("version", "-f", "{{.Server.Os}}/{{.Server.Arch}} {{.Server.MinAPIVersion}}")).toMatch(
    /^linux\/(amd64|arm64) 1\.24$/,
  );
  await daemon.ok("run", "-d", "busybox", "sleep", "1000");
  await daemon.ok("create", "busybox");
  expect(
    await daemon.ok("info", "-f", "{{.Containers}} {{.ContainersRunning}} {{.ContainersStopped}} {{.OSType}} {{.DockerRootDir}}"),
  ).toBe(`2 1 1 linux ${daemon.dataRoot}`);
  const { stdout, stderr, exitCode } = await daemon.docker("info");
  expect(exitCode).toBe(0);
  expect(stderr).not.toContain("ERROR");
  expect(stdout).toContain("Default Runtime: crun");
});

test("ping, as clients ask it", async () => {
  const { status, headers, text } = await daemon.api("GET", "/_ping");
  expect({ status, text }).toEqual({ status: 200, text: "OK" });
  expect(headers.get("Api-Version")).toMatch(/^1\.\d+$/);
  expect(headers.get("Ostype")).toBe("linux");
  expect((await daemon.api("HEAD", "/_ping")).text).toBe("");
});

test("versions that are too old, too new, unknown paths", async () => {
  expect((await daemon.api("GET", "/v1.23/info")).status).toBe(400);
  expect((await daemon.api("GET", "/v9.99/info")).status).toBe(400);
  expect((await daemon.api("GET", "/v1.41/nosuch")).json).toEqual({ message: "page not found" });
  for (const version of ["1.24", "1.30", "1.41", "1.47"]) {
    expect(await daemon.dockerWith({ env: { DOCKER_API_VERSION: version } }, "run", "--rm", "busybox", "echo", version)).toEqual({
      stdout: `${version}\n`,
      stderr: "",
      exitCode: 0,
    });
  }
});

test("events of a container's life", async () => {
  const since = String(Date.now() / 1000);
  await daemon.ok("run", "--rm", "--name", "lived", "-l", "a=b", "busybox", "true");
  await daemon.docker("rm", "-f", "lived");
  const lines = await until("the last event", async () => {
    const text = await daemon.ok(
      "events",
      "--since",
      since,
      "--until",
      String(Date.now() / 1000),
      "--filter",
      "container=lived",
      "--format",
      "{{.Type}} {{.Action}} {{.Actor.Attributes.exitCode}} {{.Actor.Attributes.a}}",
    );
    return text.includes("destroy") ? text.split("\n") : undefined;
  });
  expect(lines.map((line) => line.split(" ").slice(0, 2).join(" "))).toEqual([
    "container create",
    "container attach",
    "container start",
    "container die",
    "container destroy",
  ]);
  expect(lines[3]).toBe("container die 0 b");
});

test("events stream and their filters", async () => {
  const child = daemon.spawn(
    {},
    "events",
    "--filter",
    "event=start",
    "--filter",
    "label=watched",
    "--format",
    "{{.Actor.Attributes.name}}",
  );
  await until("the listener", async () => (await daemon.api<{ NEventsListener: number }>("GET", "/info")).json.NEventsListener > 0);
  await daemon.ok("run", "--rm", "--name", "plain", "busybox", "true");
  await daemon.ok("run", "--rm", "--name", "seen", "-l", "watched", "busybox", "true");
  expect(Buffer.from((await child.stdout.getReader().read()).value ?? []).toString()).toBe("seen\n");
  child.kill("SIGKILL");
  await until("nobody listens", async () => (await daemon.api<{ NEventsListener: number }>("GET", "/info")).json.NEventsListener === 0);
});

test("system df", async () => {
  await daemon.ok(
    "run",
    "--name",
    "big",
    "-v",
    "data:/data",
    "busybox",
    "sh",
    "-c",
    "head -c 100000 /dev/zero > /f; head -c 50000 /dev/zero > /data/f",
  );
  expect((await daemon.ok("system", "df", "--format", "{{.Type}} {{.TotalCount}} {{.Size}}")).split("\n")).toEqual([
    expect.stringMatching(/^Images 1 [\d.]+MB$/),
    "Containers 1 100kB",
    "Local Volumes 1 50kB",
    "Build Cache 0 0B",
  ]);
  await daemon.ok("rm", "big");
  await daemon.ok("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "elsewhere");
  expect(await daemon.ok("system", "df", "--format", "{{.Type}} {{.TotalCount}}")).toContain("Local Volumes 1");
  await daemon.ok("volume", "rm", "data", "elsewhere");
});

test("inspect finds what a name stands for", async () => {
  await daemon.ok("create", "--name", "thing", "busybox");
  await daemon.ok("volume", "create", "vol");
  expect(await daemon.ok("inspect", "-f", "{{.Name}}", "thing")).toBe("/thing");
  expect(await daemon.ok("inspect", "-f", "{{.Os}}", "busybox")).toBe("linux");
  expect(await daemon.ok("inspect", "-f", "{{.Driver}}", "vol")).toBe("local");
  expect(await daemon.ok("inspect", "-f", "{{.Driver}}", "bridge")).toBe("bridge");
  expect((await daemon.docker("inspect", "nosuch")).stderr).toMatch(/no such object: nosuch/i);
  await daemon.ok("volume", "rm", "vol");
});

test("inspect of a container: null, empty and absent as docker has them", async () => {
  const id = await daemon.ok("create", "busybox");
  const { json } = await daemon.api<Record<string, Record<string, unknown>>>("GET", `/v1.50/containers/${id}/json`);
  expect(json["HostConfig"]).toMatchObject({
    Binds: null,
    CapAdd: null,
    CapDrop: null,
    DnsOptions: [],
    DnsSearch: [],
    ExtraHosts: null,
    GroupAdd: null,
    Links: null,
    SecurityOpt: null,
    VolumesFrom: null,
    PortBindings: {},
    ConsoleSize: [0, 0],
    Devices: [],
    DeviceCgroupRules: null,
    DeviceRequests: null,
    PidsLimit: null,
    MemorySwappiness: null,
    ShmSize: 67108864,
    RestartPolicy: { Name: "no", MaximumRetryCount: 0 },
    NetworkMode: "bridge",
    IpcMode: "private",
    LogConfig: { Config: {} },
  });
  // as the command line sends them: the one null until 20.10, the other since 29
  expect([json["HostConfig"]?.["Ulimits"] ?? [], json["HostConfig"]?.["Dns"] ?? []]).toEqual([[], []]);
  expect(json["Config"]).toMatchObject({ Entrypoint: null, Labels: {}, OnBuild: null, Volumes: null, Tty: false });
  expect(json["State"]).toMatchObject({ Status: "created", FinishedAt: "0001-01-01T00:00:00Z", Error: "" });
  expect(json["Mounts"] as unknown).toEqual([]);
  expect(json["ExecIDs"] as unknown).toBeNull();
  expect(json["NetworkSettings"]).toMatchObject({
    Ports: {},
    SandboxID: "",
    Networks: { bridge: { IPAMConfig: null, Links: null, Aliases: null, NetworkID: "" } },
  });
});

describe("docker 20.10's command line", () => {
  const old = oldDockerCli === undefined ? test.skip : test;
  const cli = oldDockerCli ?? "";
  const docker = (...args: readonly string[]) => daemon.dockerWith({ cli }, ...args);

  old("version, run, ps, logs, exec, cp of nothing, rm", async () => {
    expect((await docker("version", "-f", "{{.Client.Version}}")).stdout).toStartWith("20.10.");
    expect(await docker("run", "--rm", "busybox", "sh", "-c", "echo out; exit 4")).toEqual({ stdout: "out\n", stderr: "", exitCode: 4 });
    expect((await daemon.dockerWith({ cli, stdin: "piped" }, "run", "--rm", "-i", "busybox", "cat")).stdout).toBe("piped");
    await docker("run", "-d", "--name", "aged", "-p", "127.0.0.1::80", "-v", "/anonymous", "busybox", "sh", "-c", "echo up; sleep 1000");
    await until("the log", async () => (await docker("logs", "aged")).stdout === "up\n");
    expect((await docker("ps", "--format", "{{.Names}} {{.State}} {{.Ports}}")).stdout).toMatch(
      /^aged running 127\.0\.0\.1:\d+->80\/tcp\n$/,
    );
    expect((await docker("exec", "aged", "sh", "-c", "exit 6")).exitCode).toBe(6);
    expect((await docker("inspect", "-f", "{{.State.Running}}", "aged")).stdout).toBe("true\n");
    expect((await docker("stats", "--no-stream", "--format", "{{.Name}}")).stdout).toBe("aged\n");
    expect((await docker("top", "aged")).stdout).toContain("sleep 1000");
    for (const args of [
      ["pause", "aged"],
      ["unpause", "aged"],
      ["restart", "-t", "0", "aged"],
      ["stop", "-t", "0", "aged"],
      ["start", "aged"],
      ["kill", "aged"],
      ["rm", "-v", "aged"],
    ]) {
      expect(await docker(...args)).toEqual({ stdout: "aged\n", stderr: "", exitCode: 0 });
    }
    expect(await daemon.ok("volume", "ls", "-q")).toBe("");
  });

  old("a terminal", async () => {
    using terminal = daemon.terminal({ cli }, "run", "-it", "--rm", "busybox", "sh", "-c", "tty; exit 3");
    await terminal.sees("/dev/pts/0\r\n");
    expect(await terminal.exited).toBe(3);
  });

  old("images, info, volumes, networks, events, prune", async () => {
    expect((await docker("images", "--format", "{{.Repository}}:{{.Tag}}")).stdout).toBe("busybox:latest\n");
    expect((await docker("history", "-q", "busybox")).exitCode).toBe(0);
    expect((await docker("info")).stdout).toContain("Storage Driver:");
    expect((await docker("volume", "create", "vol")).stdout).toBe("vol\n");
    expect((await docker("volume", "prune", "-f")).stdout).toContain("vol");
    expect((await docker("network", "ls", "-q")).stdout.trim().split("\n")).toHaveLength(3);
    expect((await docker("events", "--since", "1m", "--until", "0s")).exitCode).toBe(0);
    expect((await docker("system", "df")).exitCode).toBe(0);
    const saved = daemon.spawn({ cli }, "save", "busybox");
    const archive = new Uint8Array(await new Response(saved.stdout).arrayBuffer());
    expect((await daemon.dockerWith({ cli, stdin: archive }, "load")).stdout).toContain("Loaded image: busybox:latest");
  });
});
