/** What a scoped socket shows and lets through: with the real command line, against objects that are not its clients' to see. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { tar } from "../archive.ts";
import { Daemon } from "../daemon.ts";
import { Scoped } from "./scoped.ts";

let daemon: Daemon;
let scoped: Scoped;
let secretId: string;
let secretImage: string;
let execId: string;

const RULES = [
  "containers:* label=ci",
  "images:read,create,remove,prune label=ci",
  "images:read label=base",
  "volumes:* label=ci=1",
].concat(["networks:*", "system:read", "leases:*"]);

beforeAll(async () => {
  daemon = await Daemon.start();
  await daemon.ok("create", "--name", "base", "busybox");
  await daemon.ok("commit", "-c", "LABEL base=1", "base", "busybox");
  await daemon.ok("commit", "-c", "LABEL dhow.serves=reaper base=1", "base", "evil");
  secretImage = (await daemon.ok("commit", "base", "secret-image")).slice("sha256:".length);
  await daemon.ok("rm", "base");
  await daemon.ok("tag", "secret-image", "localhost/secret-image");
  await daemon.ok("tag", "busybox", "localhost/base");
  await daemon.ok("volume", "create", "secret-volume");
  secretId = await daemon.ok("run", "-d", "--name", "secret", "--label", "other=1", "-v", "secret-volume:/v", "busybox", "sleep", "1000");
  await daemon.ok("run", "-d", "--name", "risky", "--label", "ci=1", "--privileged", "-v", "/etc:/host", "busybox", "sleep", "1000");
  await daemon.ok("run", "-d", "--name", "hosted", "--label", "ci=1", "--net", "host", "busybox", "sleep", "1000");
  const exec = await daemon.api<{ readonly Id: string }>("POST", "/containers/secret/exec", { Cmd: ["true"] });
  execId = exec.json.Id;
  await daemon.api("POST", "/leases", { Name: "theirs", TTL: "1h" });
  scoped = await Scoped.create(daemon, { Name: "ci.sock", Allow: RULES, Audit: true });
  await scoped.ok("run", "-d", "--name", "mine", "busybox", "sleep", "1000");
  await scoped.ok("commit", "mine", "localhost/own");
}, 120_000);

afterAll(() => daemon?.[Symbol.asyncDispose]());

test("its clients work as with any engine", async () => {
  expect(await scoped.ok("run", "--rm", "-v", "data:/d", "busybox", "sh", "-c", "echo hello | tee /d/x")).toBe("hello");
  expect(await scoped.ok("run", "--rm", "-v", "data:/d:ro", "busybox", "cat", "/d/x")).toBe("hello");
  expect(await scoped.ok("exec", "mine", "echo", "inside")).toBe("inside");
  expect(await scoped.ok("ps", "-a", "--format", "{{.Names}}")).toBe("mine\nhosted\nrisky");
  expect(await scoped.ok("volume", "ls", "-q")).toBe("data");
  expect(await scoped.ok("inspect", "-f", '{{index .Config.Labels "dhow.socket"}}', "mine")).toBe("ci.sock");
  await scoped.ok("commit", "-c", "ENV a=b", "mine", "localhost/own-image");
  expect(await scoped.ok("image", "inspect", "-f", "{{json .Config.Labels}}", "localhost/own-image")).toContain('"ci":""');
  await scoped.ok("run", "--rm", "--network", "container:mine", "localhost/own-image", "true");
  await scoped.ok("rmi", "localhost/own-image");
  writeFileSync(join(daemon.dir, "rootfs.tar"), tar([{ name: "file", data: "data" }]));
  await scoped.ok("import", join(daemon.dir, "rootfs.tar"), "localhost/imported");
  expect(await scoped.ok("image", "inspect", "-f", "{{json .Config.Labels}}", "localhost/imported")).toBe('{"ci":""}');
  await scoped.ok("rmi", "localhost/imported");
  await scoped.ok("volume", "rm", "data");
});

test("lists leave out what is not its clients'", async () => {
  expect(await scoped.ok("ps", "-aq", "--no-trunc")).not.toContain(secretId);
  expect(await scoped.ok("ps", "-n", "1", "--format", "{{.Names}}")).toBe("mine");
  expect(await scoped.ok("ps", "-a", "--filter", "ancestor=secret-image", "-q")).toBe("");
  expect(await scoped.ok("images", "--format", "{{.Repository}}")).not.toContain("secret-image");
  expect(await scoped.ok("volume", "ls", "-q")).not.toContain("secret-volume");
  const { json } = await scoped.api("GET", "/info");
  expect(json).toMatchObject({ Containers: 3, ContainersRunning: 3, Images: 3, HttpProxy: "" });
  const df = JSON.stringify((await scoped.api("GET", "/v1.44/system/df")).json);
  for (const theirs of [secretId, "secret-volume", "secret-image"]) expect(df).not.toContain(theirs);
  const bridge = JSON.stringify((await scoped.api("GET", "/networks/bridge")).json);
  expect(bridge).toContain('"mine"');
  expect(bridge).not.toContain("secret");
});

test("a link from a container of others gives no name of it away", async () => {
  await daemon.ok("create", "--name", "linking", "--link", "mine:alias", "busybox");
  expect(await daemon.ok("ps", "--no-trunc", "--format", "{{.Names}}", "--filter", "name=^mine$")).toContain("linking/alias");
  expect(await scoped.ok("ps", "--no-trunc", "--format", "{{.Names}}", "--filter", "name=^mine$")).toBe("mine");
  expect(await scoped.api("GET", "/containers/linking%2Falias/json")).toMatchObject({ status: 404 });
  await scoped.ok("create", "--name", "own-linking", "--link", "mine:alias", "busybox");
  expect(await scoped.ok("inspect", "-f", "{{.Name}}", "own-linking/alias")).toBe("/mine");
  await scoped.ok("rm", "own-linking");
  await daemon.ok("rm", "linking");
});

/** Commands about a container that is not to be seen. */
const ON_SECRET: readonly (readonly string[])[] = [
  ["container", "inspect", "secret"],
  ["start", "secret"],
  ["stop", "secret"],
  ["restart", "secret"],
  ["kill", "secret"],
  ["pause", "secret"],
  ["unpause", "secret"],
  ["rename", "secret", "known"],
  ["update", "--memory", "64m", "--memory-swap", "64m", "secret"],
  ["rm", "secret"],
  ["wait", "secret"],
  ["logs", "secret"],
  ["top", "secret"],
  ["stats", "--no-stream", "secret"],
  ["diff", "secret"],
  ["export", "secret"],
  ["commit", "secret"],
  ["cp", "secret:/etc/passwd", "-"],
  ["attach", "--no-stdin", "secret"],
  ["exec", "secret", "true"],
  ["port", "secret"],
  ["ps", "-a", "--filter", "since=secret"],
  ["ps", "-a", "--filter", "before=secret"],
  ["create", "--network", "container:secret", "busybox"],
  ["create", "--pid", "container:secret", "busybox"],
  ["create", "--ipc", "container:secret", "busybox"],
  ["create", "--volumes-from", "secret", "busybox"],
  ["create", "--link", "secret:x", "busybox"],
];

test.each(ON_SECRET.map((args) => [args.join(" "), args] as const))("docker %s: no such container", async (_, args) => {
  const { stderr, stdout, exitCode } = await scoped.docker(...args);
  expect(exitCode).not.toBe(0);
  expect(stderr + stdout).toMatch(/no such (container|object|container:path): secret/i);
});

test("a container that is not to be seen is not found by its id, a part of it, or a slash", async () => {
  for (const ref of [secretId, secretId.slice(0, 12), secretId.slice(0, 3), "%2Fsecret"]) {
    const { status, message } = await scoped.api("GET", `/containers/${ref}/json`);
    expect({ status, message }).toEqual({ status: 404, message: `No such container: ${decodeURIComponent(ref)}` });
  }
  for (const path of [`/exec/${execId}/json`, `/exec/${execId}/resize?h=1&w=1`]) {
    const { status, message } = await scoped.api(path.endsWith("json") ? "GET" : "POST", path);
    expect({ status, message }).toEqual({ status: 404, message: `No such exec instance: ${execId}` });
  }
  expect(await scoped.api("POST", `/exec/${execId}/start`, { Detach: true })).toMatchObject({ status: 404 });
});

/** Commands about other objects that are not to be seen, and what they answer. */
const ON_OTHERS: readonly (readonly [string, RegExp])[] = [
  ["image inspect secret-image", /No such image: secret-image/i],
  ["history secret-image", /No such image: secret-image:latest/],
  ["tag secret-image x", /No such image: secret-image:latest/],
  ["rmi secret-image", /No such image: secret-image/],
  ["save secret-image", /No such image: secret-image:latest/],
  ["tag busybox stolen", /does not allow images:create of this object/],
  ["commit mine localhost/secret-image", /The image name "localhost\/secret-image:latest" is already in use/],
  ["tag localhost/own nginx", /does not allow the image name nginx:latest: names of its images begin with localhost\//],
  ["commit mine nginx", /does not allow the image name nginx:latest/],
  ["commit mine busybox", /does not allow the image name busybox:latest/],
  ["volume inspect secret-volume", /no such volume/i],
  ["volume rm secret-volume", /no such volume/i],
  ["volume create secret-volume", /The volume name "secret-volume" is already in use/],
  ["create -v secret-volume:/x busybox", /The volume name "secret-volume" is already in use/],
  ["create --name secret busybox", /The container name "\/secret" is already in use by container "\(not visible\)"/],
  ["rename mine secret", /The container name "\/secret" is already in use by container "\(not visible\)"/],
  ["create --network host busybox", /does not allow HostConfig.NetworkMode "host"/],
  ["create --network nowhere busybox", /network nowhere not found/],
  ["create --label ci=1 --label dhow.lease=0 busybox", /No such lease: 0/],
  ["create evil", /does not allow an image with the label dhow.serves/],
];

test.each(ON_OTHERS)("docker %s", async (line, why) => {
  const { stderr, stdout, exitCode } = await scoped.docker(...line.split(" "));
  expect(stderr + stdout).toMatch(why);
  expect(exitCode).not.toBe(0);
});

test("an image of others can't be used by its id either", async () => {
  expect(await scoped.create({ Image: secretImage })).toMatchObject({ status: 404, message: `No such image: sha256:${secretImage}` });
  expect(await scoped.create({ Image: secretImage.slice(0, 12) })).toMatchObject({ status: 404 });
});

/** Fields of a container that lead to the host, and what is said of them. */
const ESCAPES: readonly (readonly [Record<string, unknown>, string])[] = [
  [{ Privileged: true }, "HostConfig.Privileged"],
  [{ Binds: ["/:/host"] }, "HostConfig.Binds /"],
  [{ Binds: ["fine:/a", "/etc:/host:ro"] }, "HostConfig.Binds /etc"],
  [{ Mounts: [{ Type: "bind", Source: "/", Target: "/host" }] }, "HostConfig.Mounts type bind"],
  [{ Mounts: [{ Type: "npipe", Source: "/", Target: "/host" }] }, "HostConfig.Mounts type npipe"],
  [
    { Mounts: [{ Type: "volume", Source: "x", Target: "/x", VolumeOptions: { DriverConfig: { Name: "other" } } }] },
    "HostConfig.Mounts the driver other",
  ],
  [
    {
      Mounts: [
        {
          Type: "volume",
          Source: "x",
          Target: "/x",
          VolumeOptions: { DriverConfig: { Options: { type: "none", o: "bind", device: "/" } } },
        },
      ],
    },
    "HostConfig.Mounts driver options",
  ],
  [
    { Mounts: [{ Type: "volume", Source: "x", Target: "/x", VolumeOptions: { Labels: { "dhow.serves": "reaper" } } }] },
    "HostConfig.Mounts the label dhow.serves",
  ],
  [{ NetworkMode: "host" }, 'HostConfig.NetworkMode "host"'],
  [{ PidMode: "host" }, 'HostConfig.PidMode "host"'],
  [{ IpcMode: "host" }, 'HostConfig.IpcMode "host"'],
  [{ UTSMode: "host" }, "HostConfig.UTSMode"],
  [{ UsernsMode: "host" }, 'HostConfig.UsernsMode "host"'],
  [{ CgroupnsMode: "host" }, 'HostConfig.CgroupnsMode "host"'],
  [{ Cgroup: "container:mine" }, "HostConfig.Cgroup"],
  [{ CapAdd: ["SYS_ADMIN"] }, "HostConfig.CapAdd SYS_ADMIN"],
  [{ CapAdd: ["cap_net_admin"] }, "HostConfig.CapAdd cap_net_admin"],
  [{ CapAdd: ["ALL"] }, "HostConfig.CapAdd ALL"],
  [{ SecurityOpt: ["seccomp=unconfined"] }, "HostConfig.SecurityOpt seccomp=unconfined"],
  [{ SecurityOpt: ["apparmor=unconfined"] }, "HostConfig.SecurityOpt apparmor=unconfined"],
  [{ SecurityOpt: ["label=disable"] }, "HostConfig.SecurityOpt label=disable"],
  [{ SecurityOpt: ["systempaths=unconfined"] }, "HostConfig.SecurityOpt systempaths=unconfined"],
  [{ SecurityOpt: ["no-new-privileges=false"] }, "HostConfig.SecurityOpt no-new-privileges=false"],
  [{ Devices: [{ PathOnHost: "/dev/mem", PathInContainer: "/dev/mem", CgroupPermissions: "rwm" }] }, "HostConfig.Devices"],
  [{ DeviceRequests: [{ Driver: "cdi", DeviceIDs: ["vendor.com/device=one"] }] }, "HostConfig.DeviceRequests"],
  [{ DeviceRequests: [{ Count: -1, Capabilities: [["gpu"]] }] }, "HostConfig.DeviceRequests"],
  [{ DeviceCgroupRules: ["a *:* rwm"] }, "HostConfig.DeviceCgroupRules"],
  [{ Runtime: "crun" }, "HostConfig.Runtime"],
  [{ CgroupParent: "/" }, "HostConfig.CgroupParent"],
  [{ Annotations: { "run.oci.keep_original_groups": "1" } }, "HostConfig.Annotations"],
  [{ StorageOpt: { size: "1G" } }, "HostConfig.StorageOpt"],
  [{ MaskedPaths: [] }, "HostConfig.MaskedPaths"],
  [{ MaskedPaths: ["/proc/kcore"] }, "HostConfig.MaskedPaths"],
  [{ ReadonlyPaths: [] }, "HostConfig.ReadonlyPaths"],
  [{ OomScoreAdj: -500 }, "HostConfig.OomScoreAdj -500"],
  [{ OomKillDisable: true }, "HostConfig.OomKillDisable"],
  [{ Sysctls: { "kernel.msgmax": "1" } }, "HostConfig.Sysctls kernel.msgmax"],
  [{ Sysctls: { "net.ipv4.ip_forward": "1" } }, "HostConfig.Sysctls net.ipv4.ip_forward"],
  [{ Ulimits: [{ Name: "memlock", Soft: -1, Hard: -1 }] }, "HostConfig.Ulimits memlock"],
  [{ Ulimits: [{ Name: "rtprio", Soft: 99, Hard: 99 }] }, "HostConfig.Ulimits rtprio"],
  [{ CpuRealtimeRuntime: 1000 }, "HostConfig.CpuRealtimeRuntime"],
  [{ CpuRealtimePeriod: 1000 }, "HostConfig.CpuRealtimePeriod"],
  [{ BlkioDeviceReadBps: [{ Path: "/dev/vda", Rate: 1 }] }, "HostConfig.BlkioDeviceReadBps"],
  [{ BlkioDeviceWriteIOps: [{ Path: "/dev/vda", Rate: 1 }] }, "HostConfig.BlkioDeviceWriteIOps"],
  [{ BlkioWeightDevice: [{ Path: "/dev/vda", Weight: 10 }] }, "HostConfig.BlkioWeightDevice"],
  [{ LogConfig: { Type: "syslog", Config: { "syslog-address": "tcp://192.0.2.1:514" } } }, 'HostConfig.LogConfig "syslog"'],
  [{ LogConfig: { Type: "gelf" } }, 'HostConfig.LogConfig "gelf"'],
  [{ LogConfig: { Type: "json-file", Config: { other: "1" } } }, "HostConfig.LogConfig other"],
  [{ PortBindings: { "80/tcp": [{ HostPort: "80" }] } }, "HostConfig.PortBindings the host's port 80"],
  [{ PortBindings: { "80/tcp": [{ HostPort: "1000-2000" }] } }, "HostConfig.PortBindings the host's port 1000-2000"],
  [{ VolumeDriver: "nfs" }, 'HostConfig.VolumeDriver "nfs"'],
];

test.each(ESCAPES.map(([host, what]) => [what, host] as const))("a container with %s is refused", async (what, host) => {
  const { status, message } = await scoped.create({}, host);
  expect(message).toStartWith(`socket ci.sock does not allow ${what}`);
  expect(status).toBe(403);
});

const LABELS = ["dhow.serves", "dhow.socket", "dhow.userns", "dhow.time-offset", "dhow.new"];

test.each(LABELS)("a container with the label %s is refused", async (label) => {
  expect(await scoped.create({ Labels: { [label]: "x" } })).toMatchObject({
    status: 403,
    message: `socket ci.sock does not allow Config.Labels the label ${label}`,
  });
});

test("what is refused at creation is refused in updates, execs, commits, imports and volumes", async () => {
  const refused: readonly (readonly [string, string, unknown, string])[] = [
    ["POST", "/containers/mine/update", { CgroupParent: "/" }, "HostConfig.CgroupParent"],
    ["POST", "/containers/mine/update", { Devices: [{ PathOnHost: "/dev/mem" }] }, "HostConfig.Devices"],
    ["POST", "/containers/mine/exec", { Cmd: ["id"], Privileged: true }, "exec with Privileged"],
    ["POST", "/commit?container=mine&changes=LABEL%20dhow.serves=reaper", undefined, "the change"],
    ["POST", "/commit?container=mine&changes=ONBUILD%20LABEL%20d%24%7BX%7Dhow.serves=reaper", undefined, "the change"],
    ["POST", "/commit?container=mine", { Labels: { "dhow.serves": "reaper" } }, "Config.Labels the label dhow.serves"],
    ["POST", "/images/create?fromSrc=http://127.0.0.1:1/x", undefined, "import of what the engine would have to download"],
    ["POST", "/images/create?fromImage=busybox", undefined, "pull: the image would be without the label"],
    ["POST", "/images/bootstrap?source=distro/busybox&t=x", undefined, "bootstrap: the image would be without the label"],
    ["POST", "/volumes/create", { Name: "vv", DriverOpts: { type: "none", o: "bind", device: "/" } }, "DriverOpts device, o, type"],
    ["POST", "/volumes/create", { Name: "vv", DriverOpts: { type: "tmpfs", o: "bind", device: "tmpfs" } }, "DriverOpts"],
    ["POST", "/volumes/create", { Name: "vv", Driver: "nfs" }, "Driver nfs"],
    ["POST", "/volumes/create", { Name: "vv", Labels: { ci: "2" } }, "the label ci=2"],
    ["POST", "/volumes/create", { Name: "vv", Labels: { "dhow.x": "2" } }, "the label dhow.x"],
    ["POST", "/leases", { TTL: "1h", Pid: 1 }, "a lease with Pid"],
    ["GET", "/sockets", undefined, "sockets"],
    ["POST", "/sockets", { Name: "more", Allow: ["*:*"] }, "sockets"],
    ["DELETE", "/sockets/ci.sock", undefined, "sockets"],
    ["GET", "/sockets/ci.sock/audit", undefined, "sockets"],
    ["POST", "/system/check", undefined, "system check"],
  ];
  for (const [method, path, body, what] of refused) {
    const { status, message } = await scoped.api(method, path, body);
    expect({ path, status, message }).toEqual({
      path,
      status: 403,
      message: expect.stringContaining(`socket ci.sock does not allow ${what}`),
    });
  }
});

test("nobody gets into a container of others that leads to the host, though it has the label", async () => {
  for (const line of [
    "exec risky true",
    "cp risky:/host/passwd -",
    "commit risky",
    "export risky",
    "create --volumes-from risky busybox",
  ].concat(["create --pid container:risky busybox", "create --network container:hosted busybox", "exec hosted true"])) {
    const { stderr, exitCode } = await scoped.docker(...line.split(" "));
    expect({ line, stderr, exitCode }).toEqual({
      line,
      stderr: expect.stringMatching(/does not allow access to container [0-9a-f]{12}, which has/),
      exitCode: expect.any(Number),
    });
    expect(exitCode).not.toBe(0);
  }
});

test("leases are each socket's own", async () => {
  expect((await scoped.api("GET", "/leases")).json).toEqual([]);
  expect(await scoped.api("GET", "/leases/theirs")).toMatchObject({ status: 404 });
  expect(await scoped.api("DELETE", "/leases/theirs")).toMatchObject({ status: 404 });
  const { json } = await scoped.api("POST", "/leases", { Name: "own", TTL: "1h" });
  const { Id, Name } = json as { readonly Id: string; readonly Name: string };
  expect(Name).toBe("own");
  expect(await scoped.create({ Labels: { "dhow.lease": Id } })).toMatchObject({ status: 201 });
  expect(await scoped.api("DELETE", "/leases/own")).toMatchObject({ status: 200 });
});

test("events are those of what is visible", async () => {
  const since = String(Date.now() / 1000);
  await daemon.ok("run", "--rm", "--name", "quiet", "-v", "quiet:/q", "busybox", "true");
  await scoped.ok("run", "--rm", "--name", "loud", "-v", "loud:/l", "busybox", "true");
  await daemon.ok("volume", "rm", "quiet");
  const all = await daemon.ok("events", "--since", since, "--until", String(Date.now() / 1000 + 0.5));
  const own = await scoped.ok("events", "--since", since, "--until", String(Date.now() / 1000));
  expect(all).toContain("quiet");
  expect(own).toContain("name=loud");
  expect(own).toContain("volume create loud");
  expect(own).not.toContain("quiet");
  await scoped.ok("volume", "rm", "loud");
});

test("prune takes what is its clients' and nothing else", async () => {
  await daemon.ok("create", "--name", "stopped", "busybox");
  await daemon.ok("volume", "create", "unused");
  await scoped.ok("create", "--name", "over", "-v", "/anonymous", "busybox");
  await scoped.ok("volume", "create", "own");
  const before = await daemon.ok("volume", "ls", "-q");
  await scoped.ok("container", "prune", "-f");
  await scoped.ok("volume", "prune", "-f", "--filter", "all=1");
  expect(await daemon.ok("ps", "-a", "--format", "{{.Names}}")).not.toContain("over");
  expect(await daemon.ok("ps", "-a", "--format", "{{.Names}}")).toContain("stopped");
  const after = (await daemon.ok("volume", "ls", "-q")).split("\n");
  expect(after).toContain("unused");
  expect(after).toContain("secret-volume");
  expect(before.split("\n").filter((name) => !after.includes(name))).toHaveLength(2);
  await daemon.ok("rm", "stopped");
  await daemon.ok("volume", "rm", "unused");
});

test("a verb that no rule has is refused", async () => {
  const reader = await Scoped.create(daemon, { Name: "reader", Allow: ["containers:read"] });
  expect(await reader.ok("ps", "--format", "{{.Names}}")).toContain("secret");
  for (const line of [
    "stop secret",
    "rm -f secret",
    "exec secret true",
    "create busybox",
    "images",
    "volume ls",
    "network ls",
    "system df",
    "cp secret:/etc/passwd -",
  ]) {
    const { stderr, exitCode } = await reader.docker(...line.split(" "));
    expect(stderr).toMatch(/socket reader does not allow (containers|images|volumes|networks|system):/);
    expect(exitCode).not.toBe(0);
  }
  await daemon.api("DELETE", "/sockets/reader");
});

test("--unconfined gives back what leads to the host, and nothing of others", async () => {
  const trusted = await Scoped.create(daemon, { Name: "trusted", Allow: ["*:* label=ci", "images:read"], Unconfined: true });
  expect(await trusted.ok("run", "--rm", "--privileged", "--pid", "host", "-v", "/etc:/host:ro", "busybox", "ls", "/host/passwd")).toBe(
    "/host/passwd",
  );
  expect((await trusted.docker("inspect", "secret")).exitCode).not.toBe(0);
  await daemon.api("DELETE", "/sockets/trusted");
});

test("the audit log has who, what, and why not", async () => {
  await scoped.docker("run", "--rm", "--privileged", "-e", "PASSWORD=hunter2", "busybox", "true");
  const { text } = await daemon.api("GET", "/sockets/ci.sock/audit?tail=50");
  const records = text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  const refused = records.findLast(({ allowed }) => allowed === false);
  expect(refused).toMatchObject({
    uid: 0,
    gid: 0,
    method: "POST",
    status: 403,
    why: "socket ci.sock does not allow HostConfig.Privileged",
  });
  expect(refused?.["pid"]).toBeGreaterThan(1);
  expect(refused?.["path"]).toMatch(/^\/v1\.\d+\/containers\/create$/);
  expect(text).not.toContain("hunter2");
  const following = await fetch("http://localhost/sockets/ci.sock/audit?tail=0&follow=1", { unix: daemon.socket });
  const reader = following.body?.getReader();
  await scoped.api("GET", "/containers/secret/json");
  const first = await reader?.read();
  expect(JSON.parse(Buffer.from(first?.value ?? new Uint8Array()).toString())).toMatchObject({
    path: "/containers/secret/json",
    status: 404,
    allowed: true,
  });
  await reader?.cancel();
});
