import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { type KeyPair, makeCertificates } from "../../test/certificates.ts";
import { advertisedAddress, type ClusterConfig, clusterConfig } from "./cluster.ts";
import { clusterAccess } from "./cluster-access.ts";

const config = (store: string, advertise = "", options: Readonly<Record<string, string>> = {}): ClusterConfig => {
  const read = clusterConfig(store, advertise, options);
  if (read === undefined) throw new Error("no store");
  return read;
};

test("clusterConfig() reads members, path, times and files", () => {
  expect(clusterConfig("", "", {})).toBeUndefined();
  expect(config("etcd://10.0.0.9:2379,etcd2,[fd00::9]:99/prod/net/")).toMatchObject({
    endpoints: ["http://10.0.0.9:2379", "http://etcd2:2379", "http://[fd00::9]:99"],
    path: "prod/net",
    heartbeatSeconds: 20,
    ttlSeconds: 60,
  });
  const files = { "kv.cacertfile": "/ca", "kv.certfile": "/cert", "kv.keyfile": "/key", "kv.path": "here", "discovery.ttl": "9" };
  expect(config("etcd://a:1", "", files)).toMatchObject({
    endpoints: ["https://a:1"],
    path: "here",
    tls: { ca: "/ca", cert: "/cert", key: "/key" },
    heartbeatSeconds: 3,
    ttlSeconds: 9,
  });
  expect(config("etcd://a:1", "", { "discovery.heartbeat": "5" })).toMatchObject({
    heartbeatSeconds: 5,
    ttlSeconds: 15,
    rotationSeconds: 43200,
  });
  expect(config("etcd://a:1", "", { "encryption.rotation": "600" })).toMatchObject({ heartbeatSeconds: 20, rotationSeconds: 600 });
});

test("clusterConfig() takes what dockerd takes to be advertised", () => {
  const advertise = (text: string): string => config("etcd://a:1", text).advertise;
  expect(["10.0.0.1", "10.0.0.1:2376", "eth0", "eth0:2376", "fd00::1", "[fd00::1]:2376"].map(advertise)).toEqual([
    "10.0.0.1",
    "10.0.0.1",
    "eth0",
    "eth0",
    "fd00::1",
    "fd00::1",
  ]);
});

test.each([
  ["", "eth0", {}, "invalid cluster configuration. --cluster-advertise must be accompanied by --cluster-store configuration"],
  ["consul://a:1", "", {}, 'invalid cluster configuration. --cluster-store "consul://a:1" is not etcd://host:port[,host:port…][/path]'],
  ["etcd://a:x", "", {}, 'invalid cluster configuration. --cluster-store has "a:x" where host:port should be'],
  ["etcd://a:70000", "", {}, 'invalid cluster configuration. --cluster-store has "a:70000" where host:port should be'],
  ["etcd://a:1", ":99", {}, 'discovery advertise parsing failed (invalid --cluster-advertise configuration: ":99")'],
  ["etcd://a:1", "", { "kv.x": "1" }, 'invalid cluster configuration. unknown --cluster-store-opt "kv.x"'],
  ["etcd://a:1", "", { "kv.certfile": "/c" }, "invalid cluster configuration. kv.certfile and kv.keyfile go together"],
  ["etcd://a:1", "", { "kv.username": "u" }, "invalid cluster configuration. kv.username and kv.passwordfile go together"],
  ["http://a:1", "", { "kv.cacertfile": "/c" }, "invalid cluster configuration. --cluster-store is http://, which the options of TLS"],
  ["etcd://a:1", "", { "discovery.ttl": "0" }, "discovery.ttl must be positive"],
  ["etcd://a:1", "", { "encryption.rotation": "0" }, "encryption.rotation must be positive"],
  ["etcd://a:1", "", { "discovery.ttl": "x" }, 'strconv.Atoi: parsing "x": invalid syntax'],
  ["etcd://a:1", "", { "discovery.ttl": "5", "discovery.heartbeat": "5" }, "discovery.ttl timer must be greater than discovery.heartbeat"],
])("clusterConfig(%p, %p, %p) throws", (store, advertise, options, message) => {
  expect(() => clusterConfig(store, advertise, options)).toThrow(message);
});

test("advertisedAddress() finds an interface's, and refuses what only this host reaches", async () => {
  expect(await advertisedAddress(config("etcd://a:1", "192.0.2.1"))).toBe("192.0.2.1");
  expect(await advertisedAddress(config("etcd://a:1", "lo"))).toBe("127.0.0.1");
  await expect(advertisedAddress(config("etcd://a:1", "nope0"))).rejects.toThrow('no up interface "nope0" with an address');
  await expect(advertisedAddress(config("etcd://127.0.0.1:1"))).rejects.toThrow(
    "--cluster-store leads to 127.0.0.1: say by --cluster-advertise",
  );
});

test("clusterConfig() takes https:// and who it is to etcd", () => {
  expect(config("https://a:1,b", "", { "kv.servername": "etcd.example" })).toMatchObject({
    endpoints: ["https://a:1", "https://b:2379"],
    tls: { serverName: "etcd.example" },
  });
  expect(config("http://a:1/x").endpoints).toEqual(["http://a:1"]);
  const user = { "kv.username": "dhow", "kv.passwordfile": "/secret" };
  expect(config("etcd://a:1", "", user).user).toEqual({ name: "dhow", passwordFile: "/secret" });
});

test("clusterAccess() looks at the files, and names the one that is wrong", async () => {
  const dir = mkdtempSync(`${tmpdir()}/dhow-cluster-`);
  const access = (options: Readonly<Record<string, string>>) => clusterAccess(config("etcd://a:1", "", options));
  try {
    const { ca, client, expired, foreign } = makeCertificates(dir);
    writeFileSync(`${dir}/junk`, "PEM");
    writeFileSync(`${dir}/password`, "secret\n");
    expect(await access({})).toEqual({ tls: {} });
    expect(await access({ "kv.cacertfile": ca })).toEqual({ tls: { ca } });
    const { user } = await access({ "kv.username": "dhow", "kv.passwordfile": `${dir}/password` });
    expect([user?.name, await user?.password()]).toEqual(["dhow", "secret"]);
    const pair = ({ cert, key }: KeyPair) => ({ "kv.certfile": cert, "kv.keyfile": key });
    expect(await access(pair(expired))).toEqual({ tls: expired });
    const wrong: readonly [Readonly<Record<string, string>>, string][] = [
      [{ "kv.cacertfile": `${dir}/no` }, `read kv.cacertfile "${dir}/no": ENOENT`],
      [{ "kv.cacertfile": `${dir}/junk` }, `kv.cacertfile "${dir}/junk" has no certificate in PEM`],
      [{ ...pair(client), "kv.keyfile": `${dir}/junk` }, `kv.keyfile "${dir}/junk" has no key in PEM`],
      [{ ...pair(client), "kv.keyfile": foreign.key }, `kv.keyfile "${foreign.key}" is not the key of kv.certfile "${client.cert}"`],
      [{ "kv.username": "dhow", "kv.passwordfile": `${dir}/no` }, `read kv.passwordfile "${dir}/no": ENOENT`],
    ];
    for (const [options, message] of wrong) await expect(access(options)).rejects.toThrow(message);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});
