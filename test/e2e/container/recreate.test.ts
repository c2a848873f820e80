/** `dhow inspect --as`: what it prints makes the same container again. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import type { EndpointSettings } from "../../../src/spec/engine/mod.ts";
import { imageArchive, tar } from "../archive.ts";
import { Daemon, dockerCliMajor } from "../daemon.ts";

const ROOT = join(import.meta.dir, "../../..");
const BUN = [process.execPath, "--no-env-file", "--config=/dev/null", "--no-install"];
const OURS = [...BUN, join(ROOT, "src/main.ts")];

let daemon: Daemon;

beforeAll(async () => {
  daemon = await Daemon.start();
  const config = {
    config: {
      Cmd: ["serve", "--all"],
      Entrypoint: ["/bin/app"],
      Env: ["PATH=/bin", "FROM_IMAGE=1"],
      Labels: { vendor: "us", kind: "app" },
      User: "1000",
      WorkingDir: "/srv",
      ExposedPorts: { "80/tcp": {} },
      Volumes: { "/data": {} },
      StopSignal: "SIGQUIT",
      Healthcheck: { Test: ["CMD-SHELL", "true"], Interval: 5_000_000_000 },
    },
  };
  const archive = imageArchive({ name: "app", layers: [tar([{ name: "bin/app", mode: 0o755, data: "x" }])], config });
  await daemon.api("POST", "/images/load?quiet=1", archive, { "Content-Type": "application/x-tar" });
  await daemon.ok("volume", "create", "named");
  await daemon.ok("network", "create", "--subnet", "10.214.9.0/24", "mine");
  await daemon.ok("network", "create", "--subnet", "10.215.9.0/24", "more");
  await daemon.ok("create", "--name", "other", "busybox");
}, 120_000);

afterEach(async () => {
  await daemon.docker("rm", "-f", "-v", "first", "second");
});

afterAll(() => daemon?.[Symbol.asyncDispose]());

function dhow(...args: readonly string[]): { readonly stdout: string; readonly stderr: string; readonly exitCode: number } {
  const done = Bun.spawnSync([...OURS, "-H", daemon.host, ...args], { env: { ...process.env, HOME: daemon.dir } });
  return { stdout: done.stdout.toString(), stderr: done.stderr.toString(), exitCode: done.exitCode };
}

interface Shown {
  readonly Config: Record<string, unknown>;
  readonly HostConfig: Record<string, unknown>;
  /** What was asked of them. */
  readonly Networks: Record<string, EndpointSettings>;
}

/** What makes a container what it is; not its own: id, name, and host name where that is the id. */
async function shape(name: string): Promise<Shown> {
  const { Config, HostConfig, Id, NetworkSettings } = await daemon.inspect<
    Shown & { readonly Id: string; readonly NetworkSettings: Shown }
  >(name);
  const hostname = Config["Hostname"] === Id.slice(0, 12) ? "" : Config["Hostname"];
  const env = [...(Config["Env"] as string[])].sort();
  // docker's command line sends them in one order or another
  const binds = (HostConfig["Binds"] as string[] | null)?.toSorted() ?? null;
  const Networks = Object.fromEntries(
    Object.entries(NetworkSettings.Networks ?? {}).map(([network, { IPAMConfig, Aliases, DriverOpts, GwPriority }]) => [
      network,
      { IPAMConfig: IPAMConfig ?? {}, Aliases, DriverOpts, GwPriority },
    ]),
  );
  return {
    Config: { ...Config, Hostname: hostname, Env: env },
    HostConfig: { ...HostConfig, Binds: binds, ContainerIDFile: "" },
    Networks,
  };
}

const CASES: readonly (readonly string[])[] = [
  ["busybox"],
  ["busybox", "echo", "it's", "two words", '"quoted"', "$HOME", "a\nb", ""],
  ["-it", "--rm", "busybox", "sh"],
  ["app"],
  ["app", "other", "command"],
  ["--entrypoint", "/bin/sh", "app", "-c", "true"],
  ["--entrypoint", "", "app", "/bin/app"],
  ["-e", "A=1", "-e", "FROM_IMAGE=2", "-e", "EMPTY=", "-l", "kind=other", "-l", "bare", "-u", "0", "-w", "/tmp", "app"],
  ["-p", "8080:80", "-p", "127.0.0.1:8443:443", "-p", "53/udp", "-p", "[::1]:9000:90", "--expose", "7000", "busybox"],
  ["-P", "--expose", "80-82", "--expose", "99/udp", "app"],
  ["-v", "named:/n:ro", "-v", "/tmp:/host:rslave", "-v", "/anonymous", "--tmpfs", "/t", "--tmpfs", "/u:size=1m,mode=1770", "busybox"],
  ["--mount", "type=volume,src=named,dst=/n,volume-nocopy", "--mount", "type=bind,src=/tmp,dst=/b,readonly", "busybox"],
  ["--mount", "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1770", "--volumes-from", "other:ro", "busybox"],
  ["-m", "64m", "--memory-reservation", "32m", "--cpus", "0.5", "--pids-limit", "50", "--cpuset-cpus", "0", "busybox"],
  ["-m", "64m", "--memory-swap", "-1", "-c", "512", "--oom-score-adj", "100", "busybox"],
  ["--cpu-period", "50000", "--cpu-quota", "25000", "--ulimit", "nofile=100:200", "--ulimit", "core=0", "busybox"],
  ["--cap-add", "NET_ADMIN", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--read-only", "--init", "busybox"],
  ["--security-opt", "systempaths=unconfined", "--security-opt", "seccomp=unconfined", "busybox"],
  ["--privileged", "--shm-size", "32m", "--device", "/dev/null:/dev/zilch:r", "--device", "/dev/zero", "busybox"],
  ["--gpus", "all", "--gpus", '"device=0,1",driver=nvidia,"capabilities=compute,utility"', "busybox"],
  ["--gpus", 'driver=x,"options=a=1,b=2"', "busybox"],
  ...(dockerCliMajor >= 25 ? [["--device", "vendor.com/device=a", "--device", "/dev/zero", "busybox"]] : []),
  ["--network", "host", "--pid", "host", "--ipc", "host", "--uts", "host", "busybox"],
  ["--network", "none", "--hostname", "box", "--domainname", "example.org", "busybox"],
  ["--network", "container:other", "busybox"],
  ["--network", "mine", "--ip", "10.214.9.7", "--network-alias", "a", "--network-alias", "b", "busybox"],
  ...(dockerCliMajor >= 28
    ? [["--network", "name=mine,gw-priority=3,alias=a", "--network", 'name=more,ip=10.215.9.7,alias=x,"driver-opt=k=v,w"', "busybox"]]
    : []),
  ["--add-host", "a:10.0.0.1", "--dns", "9.9.9.9", "--dns-search", "example.org", "--dns-option", "ndots:2", "busybox"],
  ["--restart", "on-failure:3", "--stop-signal", "SIGUSR1", "--stop-timeout", "7", "--sysctl", "net.ipv4.ip_forward=1", "busybox"],
  [
    "--restart",
    "unless-stopped",
    "--group-add",
    "44",
    "--group-add",
    "audio",
    "--log-driver",
    "json-file",
    "--log-opt",
    "max-size=1m",
    "busybox",
  ],
  ["--health-cmd", "test -e 'a b'", "--health-interval", "1m30s", "--health-retries", "5", "--health-timeout", "2s", "busybox"],
  ["--no-healthcheck", "app"],
  ["--cgroup-parent", "/dhow-test", "--runtime", "crun", "--ipc", "shareable", "--device-cgroup-rule", "c 1:3 r", "busybox"],
];

for (const words of CASES) {
  test(`as run: ${JSON.stringify(words)}`, async () => {
    await daemon.ok("create", "--name", "first", ...words);
    const { stdout, stderr, exitCode } = dhow("inspect", "--as", "run", "first");
    expect({ stderr, exitCode }).toEqual({ stderr: "", exitCode: 0 });
    const script = stdout.replace(
      /^dhow run( -d(\w*))?/,
      (_, d = "", rest = "") => `docker create${d === "" || rest === "" ? "" : ` -${rest}`}`,
    );
    const again = Bun.spawnSync(["sh", "-c", script.replace("--name first", "--name second")], {
      env: { ...process.env, DOCKER_HOST: daemon.host, HOME: daemon.dir },
    });
    expect(again.stderr.toString()).not.toContain("Error");
    expect({ script, ...(await shape("second")) }).toEqual({ script, ...(await shape("first")) });
  });
}

test("as ts: the program makes it again", async () => {
  const own = [
    "-e",
    "A=1",
    "-l",
    "x=y z",
    "-p",
    "127.0.0.1::80",
    "-v",
    "named:/n",
    "-v",
    "/anonymous",
    "--tmpfs",
    "/t",
    "-m",
    "64m",
    "--cpus",
    "0.5",
  ];
  const more = ["--restart", "on-failure:3", "--cap-drop", "ALL", "--ulimit", "nofile=100:200", "--init", "--hostname", "box"];
  await daemon.ok("create", "--name", "first", ...own, ...more, "busybox", "sleep", "1000");
  const program = dhow("container", "inspect", "--as", "ts", "first").stdout;
  const path = join(daemon.dir, "again.ts");
  writeFileSync(path, program.replace('"dhow"', JSON.stringify(join(ROOT, "src/index.ts"))).replace('name: "first"', 'name: "second"'));
  const ran = Bun.spawnSync([...BUN, path], { env: { ...process.env, DOCKER_HOST: daemon.host } });
  expect(ran.stderr.toString()).toBe("");
  const [first, second] = [await shape("first"), await shape("second")];
  // docker's command line sends empty lists where the SDK sends nothing
  const bare = (host: Record<string, unknown>) =>
    Object.fromEntries(Object.entries(host).map(([key, value]) => [key, Array.isArray(value) && value.length === 0 ? null : value]));
  // the SDK attaches to nothing; a program that runs a container has no terminal to show it on
  for (const key of ["AttachStdin", "AttachStdout", "AttachStderr"]) second.Config[key] = first.Config[key];
  expect({ program, config: second.Config, host: bare(second.HostConfig) }).toEqual({
    program,
    config: first.Config,
    host: bare(first.HostConfig),
  });
});

test("as compose: YAML that says the same", async () => {
  const own = ["-e", "A=two words", "-l", "$x=$y", "-p", "8080:80", "-v", "named:/n", "--tmpfs", "/t", "-m", "64m", "--cpus", "0.5", "-it"];
  await daemon.ok(
    "create",
    "--name",
    "first",
    ...own,
    "--health-cmd",
    "true",
    "--restart",
    "on-failure:3",
    "busybox",
    "sh",
    "-c",
    "echo \"x: 'y'\" $HOME $$",
  );
  await daemon.ok("create", "--name", "second", "--network", "host", "--ulimit", "nofile=1:2", "--no-healthcheck", "app");
  const { stdout, exitCode } = dhow("inspect", "--as", "compose", "first", "second");
  expect(exitCode).toBe(0);
  expect(stdout).toStartWith('services:\n  first:\n    image: "busybox"\n');
  expect(parse(stdout)).toEqual({
    services: {
      first: {
        image: "busybox",
        container_name: "first",
        command: ["sh", "-c", "echo \"x: 'y'\" $$HOME $$$$"],
        environment: ["A=two words"],
        labels: { $x: "$$y" },
        volumes: ["named:/n"],
        mem_limit: 64 << 20,
        cpus: 0.5,
        restart: "on-failure:3",
        ports: ["8080:80"],
        tmpfs: ["/t"],
        healthcheck: { test: ["CMD-SHELL", "true"] },
        stdin_open: true,
        tty: true,
      },
      second: {
        image: "app",
        container_name: "second",
        network_mode: "host",
        ulimits: { nofile: { soft: 1, hard: 2 } },
        healthcheck: { disable: true },
      },
    },
    volumes: { named: { external: true } },
  });
});

test("mistakes", () => {
  expect(dhow("inspect", "--as", "toml", "other")).toEqual({
    stdout: "",
    stderr: 'invalid value "toml" for --as: must be one of run, compose, ts\n',
    exitCode: 125,
  });
  expect(dhow("inspect", "--as", "run", "nobody").stderr).toContain("No such container: nobody");
});

test("as compose: networks, with what was asked of them", async () => {
  await daemon.ok("create", "--name", "first", "--network", "mine", "--ip", "10.214.9.7", "--network-alias", "a", "busybox");
  await daemon.ok("network", "connect", "more", "first");
  const { services, networks } = parse(dhow("inspect", "--as", "compose", "first").stdout) as Record<string, Record<string, object>>;
  expect(services?.["first"]).toMatchObject({ networks: { mine: { aliases: ["a"], ipv4_address: "10.214.9.7" }, more: {} } });
  expect(networks).toEqual({ mine: { external: true }, more: { external: true } });
});

test("a network that was asked for by its id is written by its name", async () => {
  for (const name of ["host", "mine"]) {
    const id = await daemon.ok("network", "inspect", "-f", "{{.Id}}", name);
    await daemon.ok("create", "--name", "first", "--network", id.slice(0, 12), "busybox");
    const { stdout } = dhow("inspect", "--as", "run", "first");
    expect(stdout.match(/--network \S+/g)).toEqual([`--network ${name}`]);
    await daemon.ok("rm", "first");
  }
});
