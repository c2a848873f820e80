import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type DaemonConfig, parseDaemonCommand } from "./config.ts";
import { needRestart, reloaded } from "./reload.ts";

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "dhow-config-"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** The settings of a daemon.json and a command line. */
function parse(file: unknown, ...argv: readonly string[]): DaemonConfig {
  const path = join(dir, "daemon.json");
  writeFileSync(path, typeof file === "string" ? file : JSON.stringify(file));
  const command = parseDaemonCommand(["--config-file", path, ...argv], { HOME: dir, https_proxy: "https://of.env", NO_PROXY: "of.env" });
  if (command.kind !== "run") throw new Error(`it is to ${command.kind}`);
  return command.config;
}

function refusal(file: unknown, ...argv: readonly string[]): string {
  try {
    parse(file, ...argv);
  } catch (error) {
    return (error as Error).message.replace(`unable to configure the Docker daemon with file ${dir}/daemon.json: `, "");
  }
  return "";
}

/** What packages, guides and tools write for dockerd. */
const DOCKERD = {
  "exec-opts": ["native.cgroupdriver=cgroupfs"],
  "log-driver": "json-file",
  "log-opts": { "max-size": "100m" },
  "storage-driver": "overlay2",
  "storage-opts": ["overlay2.override_kernel_check=true"],
  "insecure-registries": ["registry.example:5000", "10.0.0.0/8"],
  "registry-mirrors": ["https://mirror.example"],
  "max-concurrent-downloads": 10,
  "live-restore": true,
  "userland-proxy": false,
  iptables: true,
  ip6tables: false,
  ipv6: false,
  "fixed-cidr-v6": "fd00::/80",
  experimental: false,
  features: { buildkit: true, "containerd-snapshotter": false },
  builder: { gc: { enabled: true, defaultKeepStorage: "20GB" } },
  proxies: { "http-proxy": "http://proxy.example:80" },
  "default-network-opts": { bridge: { "com.docker.network.driver.mtu": "1400" } },
  "host-gateway-ip": "192.0.2.1",
  "selinux-enabled": false,
  "seccomp-profile": "",
  "allow-nondistributable-artifacts": [],
  "authorization-plugins": [],
  "node-generic-resources": ["NVIDIA-GPU=UUID1"],
  "default-ulimits": { nofile: { Name: "nofile", Hard: 64000, Soft: 64000 } },
  "default-address-pools": [{ base: "172.30.0.0/16", size: 24 }],
  "no-new-privileges": true,
  "default-ipc-mode": "shareable",
  "log-level": "WARN",
  labels: ["tier=test"],
  mtu: 0,
};

test("a daemon.json written for dockerd is taken, and what has no effect is named", () => {
  const config = parse(DOCKERD);
  expect(config).toMatchObject({
    insecureRegistries: ["registry.example:5000", "10.0.0.0/8"],
    registryMirrors: ["https://mirror.example/"],
    proxies: { http: "http://proxy.example:80", https: "https://of.env", none: "of.env" },
    maxConcurrentDownloads: 10,
    maxConcurrentUploads: 5,
    features: { buildkit: "true", "containerd-snapshotter": "false" },
    isNoNewPrivileges: true,
    defaultIpcMode: "shareable",
    logLevel: "warn",
    mtu: 1500,
  });
  // what is as it is told to be is no news
  expect(config.ignored.toSorted()).toEqual(["builder", "ip6tables", "node-generic-resource", "storage-opt"]);
});

test("proxies come from flags or the file, else from the environment; no message shows a password", () => {
  const given = ["--http-proxy=http://a", "--https-proxy=http://b", "--no-proxy=c,d"];
  expect(parse({}, ...given).proxies).toEqual({ http: "http://a", https: "http://b", none: "c,d" });
  expect(parse({}).proxies).toEqual({ http: "", https: "https://of.env", none: "of.env" });
  expect(refusal({ proxies: { "http-proxy": "https://me:pa@ss@proxy" } }, "--http-proxy=http://joe:secret@other:1/x")).toBe(
    "the following directives are specified both as a flag and in the configuration file: http-proxy: (from flag: http://xxxxx:xxxxx@other:1/x, from file: https://xxxxx:xxxxx@proxy)",
  );
  expect(refusal({ proxies: { "ftp-proxy": "x" } })).toBe("the following directives don't match any configuration option: ftp-proxy");
  expect(refusal({ proxies: "x" })).toBe('"proxies" must be an object');
});

test("what is null is not given", () => {
  expect(parse({ "max-concurrent-uploads": null, labels: null, debug: null, bridge: null })).toMatchObject({
    ...{ maxConcurrentUploads: 5, labels: [], isDebug: false, bridge: "dhow0" },
  });
});

test("dockerd's flags are taken, too", () => {
  const config = parse({}, "--iptables=false", "--exec-opt", "isolation=default", "--userland-proxy", "--containerd=/x");
  expect(config.ignored).toEqual(["iptables", "userland-proxy", "containerd", "exec-opt isolation"]);
  expect(parse({}, "--iptables", "--userland-proxy=false", "--exec-opt", "native.cgroupdriver=cgroupfs").ignored).toEqual([]);
  expect(parse({}, "--bridge-accept-fwmark=2/0x3").acceptMark).toEqual({ mark: 2, mask: 3 });
  expect(parse({ "bridge-accept-fwmark": "010" }).acceptMark).toEqual({ mark: 8, mask: 0xffffffff });
  const network = { bip6: "fd00::1/64", "allow-direct-routing": true };
  expect(parse(network)).toMatchObject({ bip6: "fd00::1/64", allowsDirectRouting: true, acceptMark: undefined, ignored: [] });
});

test("devices are described in docker's directories, in others, or nowhere", () => {
  const on = { features: { cdi: true } };
  const off = { features: { cdi: false } };
  expect(parse({}).cdiSpecDirs).toEqual(["/etc/cdi", "/var/run/cdi"]);
  expect(parse(on).cdiSpecDirs).toEqual(["/etc/cdi", "/var/run/cdi"]);
  expect(parse(on, "--cdi-spec-dir=/foo", "--cdi-spec-dir=/bar").cdiSpecDirs).toEqual(["/foo", "/bar"]);
  expect(parse({ "cdi-spec-dirs": ["/foo"] }).cdiSpecDirs).toEqual(["/foo"]);
  expect(parse({ "cdi-spec-dirs": [] }).cdiSpecDirs).toEqual([]);
  expect(parse({}, "--cdi-spec-dir=").cdiSpecDirs).toEqual([]);
  expect(parse(off).cdiSpecDirs).toBeUndefined();
  expect(parse({}, "--feature", "cdi=0", "--cdi-spec-dir=/foo")).toMatchObject({ cdiSpecDirs: undefined, features: { cdi: "false" } });
  expect(parse({}, "--feature", "cdi").features).toEqual({ cdi: "true" });
});

test("a key that nobody knows is refused, and what would leave a door open", () => {
  expect(refusal({ debg: true })).toBe("the following directives don't match any configuration option: debg");
  expect(refusal({ "authorization-plugins": ["opa"] })).toContain("authorization-plugins");
  expect(refusal({ "api-cors-header": "*" })).toStartWith('DEPRECATED: The "api-cors-header" config parameter');
});

test("what can't be is told in dockerd's words", () => {
  expect(refusal('{"debug": tru}')).toBe("invalid character '}' in literal true (expecting 'e')");
  expect(refusal('{"debug": true')).toBe("unexpected end of JSON input");
  expect(refusal("[]")).toBe("json: cannot unmarshal array into Go value of type map[string]interface {}");
  expect(refusal({ "log-level": "loud" })).toBe("invalid logging level: loud");
  expect(refusal({ labels: ["nothing"] })).toBe("bad attribute format: nothing");
  expect(refusal({ labels: ["a=b", "a=c"] })).toBe("conflict labels for a=c and a=b");
  expect(refusal({ "default-gateway": "fd00::1" })).toBe(
    'invalid argument "fd00::1" for "--default-gateway" flag: fd00::1 is not an ip address',
  );
  expect(refusal({ "exec-opts": ["native.cgroupdriver=systemd"] })).toStartWith("native.cgroupdriver option systemd not supported: ");
  expect(refusal({ "exec-opts": ["native.cgroupdriver=x"] })).toBe("native.cgroupdriver option x not supported");
  expect(refusal({ "exec-opts": ["native.cgroupdriver"] })).toBe("unable to parse key/value option: native.cgroupdriver");
  expect(refusal({ "bridge-accept-fwmark": "1/x" })).toBe(
    'invalid bridge-accept-fwmark: invalid firewall mask "1/x": strconv.ParseUint: parsing "x": invalid syntax',
  );
  expect(refusal({ features: { cdi: "maybe" } })).toContain('invalid argument "maybe" for "--feature" flag');
  expect(refusal({ mtu: -1 })).toBe("invalid default MTU: -1");
  expect(refusal({ ip: "here" })).toBe('invalid argument "here" for "--ip" flag: here is not an ip address');
  expect(refusal({ "max-concurrent-uploads": -3 })).toBe("invalid max concurrent uploads: -3");
  expect(refusal({ "registry-mirrors": ["ftp://x"] })).toBe('invalid mirror: unsupported scheme "ftp" in "ftp://x"');
  expect(refusal({ debug: true }, "--debug")).toBe(
    "the following directives are specified both as a flag and in the configuration file: debug: (from flag: true, from file: true)",
  );
});

test("tlsverify in any form switches TLS on, and tls alone verifies", () => {
  const tls = (...argv: readonly string[]): unknown => {
    try {
      const { isOn, isVerified } = parse({}, ...argv).tls ?? {};
      return { isOn, isVerified };
    } catch (error) {
      // it has got as far as the files
      return (error as Error).message.slice(0, "invalid TLS configuration".length);
    }
  };
  expect(tls()).toEqual({ isOn: undefined, isVerified: undefined });
  expect(tls("--tls=false")).toEqual({ isOn: false, isVerified: false });
  for (const flag of ["--tls", "--tlsverify", "--tlsverify=false"]) expect(tls(flag)).toBe("invalid TLS configuration");
});

test("a reload changes what daemon.json holds of the settings that may change; the others are named", () => {
  const before = parse({ debug: true, labels: ["a=1"], mtu: 1400, "max-concurrent-downloads": 9 }, "--shutdown-timeout", "5");
  const next = parse(
    { labels: ["b=2"], mtu: 1300, iptables: false, "default-shm-size": "1g", "log-level": "error" },
    "--shutdown-timeout",
    "5",
  );
  const merged = reloaded(before, next);
  expect(merged).toMatchObject({
    isDebug: true,
    logLevel: "debug",
    labels: ["b=2"],
    mtu: 1400,
    maxConcurrentDownloads: 3,
    defaultShmSizeBytes: 2 ** 30,
    shutdownTimeoutS: 5,
  });
  expect(needRestart(before, next)).toEqual(["iptables", "mtu"]);
  expect(reloaded(merged, parse({ debug: false, "log-level": "error" }))).toMatchObject({
    isDebug: false,
    logLevel: "error",
    labels: ["b=2"],
  });
});

test("a reload changes when images are collected, also back to never", () => {
  const before = parse({ "image-gc": { high: "90%" } }, "--image-gc-min-age", "0s");
  const changed = reloaded(before, parse({ "image-gc": { high: "70%" } }, "--image-gc-min-age", "0s"));
  expect(changed.imageGc).toEqual({ highPercent: 70, lowPercent: 65, minAgeMs: 0 });
  expect(needRestart(before, parse({ "image-gc": { high: "70%" } }, "--image-gc-min-age", "0s"))).toEqual([]);
  expect(reloaded(changed, parse({}, "--image-gc-min-age", "0s")).imageGc).toMatchObject({ highPercent: undefined, minAgeMs: 0 });
});

test("-H takes dockerd's shorter forms", () => {
  const hosts = (...given: readonly string[]): readonly string[] =>
    parse({}, "--tls=false", ...given.flatMap((host) => ["-H", host])).hosts;
  expect(hosts("/run/x.sock", "unix://", "fd://", "fd://")).toEqual(["unix:///run/x.sock", "unix:///run/dhow.sock", "fd://"]);
  expect(hosts(":99", "tcp://", "[::1]", "tcp://host:1")).toEqual([
    "tcp://127.0.0.1:99",
    "tcp://127.0.0.1:2375",
    "tcp://[::1]:2375",
    "tcp://host:1",
  ]);
  expect(refusal({}, "-H", "foo://bar")).toBe("invalid bind address (foo://bar): unsupported proto 'foo'");
  for (const host of ["tcp://a:b", "tcp://a:70000", "tcp://a/b", "tcp://[::1"])
    expect(refusal({}, "-H", host)).toStartWith(`invalid bind address (${host})`);
});
