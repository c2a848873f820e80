import { afterAll, beforeEach, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { Daemon, dockerCliMajor, until } from "../daemon.ts";

const root = mkdtempSync(`${tmpdir()}/dhow-e2e-cdi-`);
// root of a user namespace is nobody there
chmodSync(root, 0o711);
const [etc, run] = [`${root}/etc`, `${root}/run`];
const POOL = "3100000000:131072";
const daemon = await Daemon.start({ args: [`--cdi-spec-dir=${etc}`, `--cdi-spec-dir=${run}`, `--userns-pool=${POOL}`] });
afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
  rmSync(root, { recursive: true });
});
beforeEach(() => {
  for (const directory of [etc, run]) {
    rmSync(directory, { recursive: true, force: true });
    mkdirSync(directory);
  }
});

const DEVICES = `cdiVersion: 0.7.0
kind: vendor.com/device
containerEdits:
  env: [VENDOR=all]
  additionalGids: [44]
devices:
- name: first
  containerEdits:
    env: [FIRST=1]
    deviceNodes:
    - {path: /dev/first, type: c, major: 1, minor: 11, permissions: w, fileMode: 0622}
    mounts:
    - {hostPath: ${root}/driver, containerPath: /opt/vendor/driver, options: [ro, nosuid, bind]}
    hooks:
    - {hookName: createRuntime, path: /bin/sh, args: [sh, -c, 'cat >${root}/state; env >${root}/variables']}
    - {hookName: poststop, path: /bin/sh, args: [sh, -c, 'echo gone >${root}/gone'], env: ["PATH=/usr/bin:/bin"]}
- name: second
  containerEdits:
    deviceNodes:
    - {path: /dev/second, hostPath: /dev/zero}
`;

function writeDevices(): void {
  writeFileSync(`${root}/driver`, "of the vendor\n");
  writeFileSync(`${etc}/vendor.yaml`, DEVICES);
}

interface Refusal {
  readonly message: string;
}
const requestOf = (...ids: readonly string[]): object[] => [{ Driver: "cdi", DeviceIDs: ids.map((id) => `vendor.com/device=${id}`) }];

/** Makes a container by the API: older command lines have no such devices. */
async function create(ids: readonly string[], script: string, hostConfig: object = {}, config: object = {}): Promise<string> {
  const HostConfig = { DeviceRequests: requestOf(...ids), ...hostConfig };
  const body = { Image: "busybox", Cmd: ["sh", "-c", script], HostConfig, ...config };
  const { json, status, text } = await daemon.api<{ Id: string }>("POST", "/containers/create", body);
  if (status !== 201) throw new Error(text);
  return json.Id;
}

/** What a container with these devices prints. */
async function output(ids: readonly string[], script: string, hostConfig: object = {}, config: object = {}): Promise<string> {
  const id = await create(ids, script, hostConfig, config);
  try {
    return await daemon.ok("start", "-a", id);
  } finally {
    await daemon.ok("rm", "-f", id);
  }
}

async function refusal(id: string): Promise<string> {
  const { status, json } = await daemon.api<Refusal>("POST", `/containers/${id}/start`);
  await daemon.ok("rm", "-f", id);
  return `${status} ${json.message}`;
}

test("a container has what its devices bring: variables, files, mounts, groups", async () => {
  writeDevices();
  const script = [
    "env | grep -E 'VENDOR|FIRST'; id -G; cat /opt/vendor/driver; stat -c '%A %t %T' /dev/first /dev/second",
    "head -c 2 /dev/second | wc -c; touch /opt/vendor/driver 2>/dev/null || echo read-only",
  ];
  expect((await output(["first", "second"], script.join("\n"))).split("\n")).toEqual([
    ...["VENDOR=all", "FIRST=1", "0 44", "of the vendor", "crw--w--w- 1 b", "crw-rw-rw- 1 5", "2", "read-only"],
  ]);
  // nothing is written into the kernel's log
  const opens = "mknod /k c 1 11; sh -c ': >/k' 2>/dev/null && echo writable; sh -c ': </k' 2>/dev/null || echo unreadable";
  expect(await output(["first"], opens)).toBe("writable\nunreadable");
  expect(await output(["second"], opens)).toBe("unreadable");
  expect(await output(["second"], "env | grep -c FIRST; ls /dev/first /opt/vendor 2>&1 | wc -l")).toBe("0\n2");
});

test("hooks run on the host, with the container's state", async () => {
  writeDevices();
  const id = await create(["first"], "true");
  await daemon.ok("start", "-a", id);
  expect(JSON.parse(readFileSync(`${root}/state`, "utf8"))).toMatchObject({ id, pid: expect.any(Number) });
  expect(readFileSync(`${root}/variables`, "utf8")).toContain("PATH=/usr/local/sbin:");
  await until("the last hook has run", () => existsSync(`${root}/gone`));
  await daemon.ok("rm", id);
});

test("a hook that fails keeps the container from starting, and leaves nothing", async () => {
  const devices = ["createRuntime", "createContainer"].map((hookName) => ({
    name: hookName,
    containerEdits: { hooks: [{ hookName, path: "/bin/false" }] },
  }));
  writeFileSync(`${run}/a.json`, JSON.stringify({ cdiVersion: "0.5.0", kind: "vendor.com/device", devices }));
  for (const { name } of devices) {
    const said = await refusal(await create([name], "true"));
    expect(said).toMatch(/^400 failed to create task for container: .*crun create failed: error executing hook .*exit code: 1/);
  }
  expect(await daemon.residue()).toEqual([]);
});

test("a mount without a source, and a place that a link leads to nowhere", async () => {
  writeDevices();
  const devices = ["/no/such/source", `${root}/driver`].map((hostPath, index) => ({
    name: `m${index}`,
    containerEdits: { mounts: [{ hostPath, containerPath: "/etc/link", options: ["bind"] }] },
  }));
  writeFileSync(`${run}/a.json`, JSON.stringify({ cdiVersion: "0.5.0", kind: "vendor.com/device", devices }));
  expect(await refusal(await create(["m0"], "true"))).toMatch(/^400 failed to create task for container: .*no such file or directory/);
  await daemon.ok("run", "--name", "linked", "busybox", "ln", "-s", "/nowhere/deep", "/etc/link");
  await daemon.ok("commit", "linked", "linked");
  await daemon.ok("rm", "linked");
  expect(await output(["m1"], "cat /etc/link /nowhere/deep", {}, { Image: "linked" })).toBe("of the vendor\nof the vendor");
});

test("the user's mounts and files win; groups are also those of exec and of another user", async () => {
  writeDevices();
  writeFileSync(`${root}/own`, "the user's\n");
  expect(await output(["first"], "cat /opt/vendor/driver", { Binds: [`${root}/own:/opt/vendor/driver`] })).toBe("the user's");
  const id = await create(["first"], "sleep 100", {}, { User: "7:8" });
  await daemon.ok("start", id);
  expect(await daemon.ok("exec", id, "sh", "-c", "id -u; id -G; stat -c %u:%g /dev/first")).toBe("7\n8 44\n7:8");
  // as with docker, another user has its own, and the variables are those of the first process
  expect(await daemon.ok("exec", "-u", "9", id, "sh", "-c", "id -G; echo $FIRST")).toBe("0");
  await daemon.ok("rm", "-f", id);
});

test("a hook in a container's user namespace reads the bundle", async () => {
  writeFileSync(`${root}/in-namespace`, "");
  chmodSync(`${root}/in-namespace`, 0o666);
  const script = `grep -c ociVersion config.json >${root}/in-namespace; ls >>${root}/in-namespace 2>/dev/null || echo closed >>${root}/in-namespace`;
  const hooks = [{ hookName: "createContainer", path: "/bin/sh", args: ["sh", "-c", script] }];
  const devices = [{ name: "x", containerEdits: { hooks } }];
  writeFileSync(`${run}/a.json`, JSON.stringify({ cdiVersion: "0.5.0", kind: "vendor.com/device", devices }));
  expect(await output(["x"], "echo started", {}, { Labels: { "dhow.userns": "auto" } })).toBe("started");
  expect(readFileSync(`${root}/in-namespace`, "utf8")).toBe("1\nclosed\n");
});

test("devices work in a user namespace and beside --privileged", async () => {
  writeDevices();
  const look = "cat /opt/vendor/driver; head -c 3 /dev/second | wc -c; env | grep FIRST";
  expect(await output(["first", "second"], look, {}, { Labels: { "dhow.userns": "auto" } })).toBe("of the vendor\n3\nFIRST=1");
  expect(await output(["first", "second"], look, { Privileged: true })).toBe("of the vendor\n3\nFIRST=1");
});

test("a device is looked up at each start, in the files as they are then", async () => {
  const id = await create(["late"], "echo $FROM");
  const missing = "CDI device injection failed: unresolvable CDI devices vendor.com/device=late";
  expect(await daemon.api("POST", `/containers/${id}/start`)).toMatchObject({ status: 500, json: { message: missing } });
  const late = (from: string): string =>
    JSON.stringify({
      cdiVersion: "0.5.0",
      kind: "vendor.com/device",
      devices: [{ name: "late", containerEdits: { env: [`FROM=${from}`] } }],
    });
  writeFileSync(`${etc}/a.json`, late("etc"));
  expect(await daemon.ok("start", "-a", id)).toBe("etc");
  writeFileSync(`${run}/a.json`, late("run"));
  expect(await daemon.ok("start", "-a", id)).toBe("run");
  writeFileSync(`${run}/b.json`, late("other"));
  expect(await daemon.api("POST", `/containers/${id}/start`)).toMatchObject({ status: 500, json: { message: missing } });
  expect(daemon.log).toContain('conflicting device \\"vendor.com/device=late\\"');
  expect(await daemon.inspect(id)).toMatchObject({
    State: { Status: "exited", ExitCode: 128, Error: missing },
    HostConfig: { DeviceRequests: [{ ...requestOf("late")[0], Count: 0, Capabilities: null, Options: null }] },
  });
  await daemon.ok("rm", id);
});

test("info has the directories, the devices and what is wrong with files; a daemon starts all the same", async () => {
  writeDevices();
  writeFileSync(`${run}/broken.yaml`, "cdiVersion: [");
  await daemon.restart();
  await until("the log names the file", () => daemon.log.includes(`${run}/broken.yaml`));
  const { json } = await daemon.api("GET", "/info");
  expect(json).toMatchObject({
    CDISpecDirs: [etc, run],
    DiscoveredDevices: ["first", "second"].map((name) => ({ Source: "cdi", ID: `vendor.com/device=${name}` })),
    Warnings: expect.arrayContaining([expect.stringContaining(`CDI: Error associated with spec file ${run}/broken.yaml: failed to load`)]),
  });
  const old = await daemon.api("GET", "/v1.49/info");
  expect("DiscoveredDevices" in old.json).toBe(false);
});

test("an interface of the host is the container's as long as it runs", async () => {
  const [near, far] = [`cdn${process.pid}`, `cdf${process.pid}`];
  const ip = (...args: readonly string[]): string => {
    const { stdout, stderr, exitCode } = Bun.spawnSync(["ip", ...args]);
    if (exitCode !== 0) throw new Error(stderr.toString());
    return stdout.toString();
  };
  const addresses = (): readonly unknown[] => {
    const [link] = JSON.parse(ip("-j", "address", "show", "dev", near));
    const own = link.addr_info.filter(({ scope }: { scope: string }) => scope === "global");
    return own.map(({ local, prefixlen }: { local: string; prefixlen: number }) => `${local}/${prefixlen}`);
  };
  const isHere = (name = near): boolean =>
    Bun.spawnSync(["ip", "link", "show", name], { stdout: "ignore", stderr: "ignore" }).exitCode === 0;
  const own = ["198.51.100.9/30", "2001:db8:9::9/64"];
  const device = (netDevices: readonly object[]): void => {
    const devices = [{ name: "nic", containerEdits: { netDevices } }];
    writeFileSync(`${run}/nic.json`, JSON.stringify({ cdiVersion: "1.1.0", kind: "vendor.com/device", devices }));
  };
  device([{ hostInterfaceName: near, name: "data0" }]);
  ip("link", "add", near, "type", "veth", "peer", "name", far);
  try {
    for (const address of own) ip("address", "add", address, "dev", near);
    ip("link", "set", far, "up");
    const script = "ip -o addr show data0 | grep -v fe80; ip link show eth0 | grep -c eth0; exec sleep 100";
    const id = await create(["nic"], script);
    await daemon.ok("start", id);
    const shown = await until(
      "the container has looked",
      async () => (await daemon.ok("logs", id)).includes("\n1") && daemon.ok("logs", id),
    );
    for (const address of own) expect(shown).toContain(address);
    expect(isHere()).toBe(false);
    await daemon.kill9();
    await daemon.launch();
    await daemon.ok("stop", "-t", "0", id);
    await until("the interface is back with its addresses", () => isHere() && addresses().length === own.length);
    expect(addresses()).toEqual(own);
    await daemon.ok("rm", id);
    // a name that is taken: nothing stays moved
    device([
      { hostInterfaceName: near, name: "data0" },
      { hostInterfaceName: far, name: "eth0" },
    ]);
    expect(await refusal(await create(["nic"], "true"))).toContain(`failed to move network device "${far}" into the container`);
    await until("the other one is back", () => isHere() && addresses().length === own.length);
    expect(addresses()).toEqual(own);
    expect(isHere(far)).toBe(true);
    device([{ hostInterfaceName: "no-such", name: "data0" }]);
    expect(await refusal(await create(["nic"], "true"))).toContain('"no-such" into the container: no such device');
    expect(await refusal(await create(["nic"], "true", { NetworkMode: "host" }))).toContain("without a private NET namespace");
  } finally {
    if (isHere()) ip("link", "delete", near);
  }
});

test.skipIf(dockerCliMajor < 25)("docker run --device takes devices by name", async () => {
  writeDevices();
  expect(await daemon.ok("run", "--rm", "--device", "vendor.com/device=first", "busybox", "cat", "/opt/vendor/driver")).toBe(
    "of the vendor",
  );
  const { stderr, exitCode } = await daemon.docker("run", "--rm", "--device", "vendor.com/device=none", "busybox");
  expect(stderr).toContain("CDI device injection failed: unresolvable CDI devices vendor.com/device=none");
  expect(exitCode).toBe(125);
});

test("--gpus gives devices of a vendor's file, and says that there are none", async () => {
  const { stderr } = await daemon.docker("run", "--rm", "--gpus", "all", "busybox");
  expect(stderr).toContain('could not select device driver "" with capabilities: [[gpu]]');
  const devices = ["0", "all"].map((name) => ({ name, containerEdits: { env: [`GPU=${name}`] } }));
  writeFileSync(`${run}/nvidia.json`, JSON.stringify({ cdiVersion: "0.5.0", kind: "nvidia.com/gpu", devices }));
  const gpu = (value: string): Promise<string> => daemon.ok("run", "--rm", "--gpus", value, "busybox", "sh", "-c", "echo $GPU");
  expect(await gpu("all")).toBe("all");
  expect(await gpu("1")).toBe("0");
  expect(await gpu("device=0")).toBe("0");
});

test("--feature cdi=false switches it off", async () => {
  writeDevices();
  await daemon.restart(["--feature", "cdi=false"]);
  expect((await daemon.api("GET", "/info")).json).toMatchObject({ CDISpecDirs: [], DiscoveredDevices: [] });
  expect(await refusal(await create(["first"], "true"))).toBe('500 could not select device driver "cdi" with capabilities: []');
  await daemon.restart(["--feature", "cdi"]);
  expect((await daemon.api("GET", "/info")).json).toMatchObject({ CDISpecDirs: [etc, run] });
});
