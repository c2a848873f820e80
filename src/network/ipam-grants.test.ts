import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { silentLogger } from "../lib/mod.ts";
import { Database, IpamGrantsTable, MIGRATIONS } from "../metadata/mod.ts";
import { Plugins } from "../plugins/mod.ts";
import { IpamGrants } from "./ipam-grants.ts";
import { IPAM_DRIVER } from "./ipam-plugin.ts";

interface Asked {
  readonly Address?: string;
}
type Answer = (body: Asked) => object | Promise<object>;

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const clean of cleanups.splice(0)) clean();
});

/** A plug-in of one pool; `answers` are what it says, by method, where it isn't the usual. */
function servePlugin(answers: Readonly<Record<string, Answer>>) {
  const calls: string[] = [];
  const root = mkdtempSync(`${tmpdir()}/dhow-grants-`);
  const usual: Readonly<Record<string, Answer>> = {
    "Plugin.Activate": () => ({ Implements: [IPAM_DRIVER] }),
    RequestPool: () => ({ PoolID: "p", Pool: "10.0.0.0/24" }),
    RequestAddress: ({ Address }) => ({ Address: `${Address}/24` }),
  };
  const server = Bun.serve({
    unix: `${root}/x.sock`,
    fetch: async (asked) => {
      const name = asked.url.replace(/^.*\//, "").replace("IpamDriver.", "");
      const body = JSON.parse((await asked.text()) || "{}") as Asked;
      if (!/Activate|GetCapabilities/.test(name)) calls.push([name, body.Address].filter(Boolean).join(" "));
      return Response.json((await (answers[name] ?? usual[name])?.(body)) ?? {});
    },
  });
  cleanups.push(() => {
    void server.stop(true);
    rmSync(root, { recursive: true });
  });
  const plugins = new Plugins({ socketDir: root, specDirs: [], timeoutMs: 300, log: silentLogger });
  return { calls, plugin: () => plugins.get("x", IPAM_DRIVER) };
}

const emptyTable = () => new IpamGrantsTable(Database.open(":memory:", MIGRATIONS));

function grantsOf(answers: Readonly<Record<string, Answer>>, table = emptyTable()) {
  const { calls, plugin } = servePlugin(answers);
  return { grants: new IpamGrants({ table, log: silentLogger, plugin }), table, calls };
}

const pool = { networkId: "n", subnet: "10.0.0.0/24" };
const request = { addressSpace: "", subnet: "", ipRange: "", options: {}, family: 4 } as const;
test("an address that the plugin gives twice is refused, and stays who has it", async () => {
  const { grants, table } = grantsOf({});
  await grants.requestPool("x", "n", request);
  await grants.requestAddress(pool, { wanted: "10.0.0.5" });
  await expect(grants.requestAddress(pool, { wanted: "10.0.0.5" })).rejects.toThrow("Address already in use");
  expect(table.all().map(({ address }) => address)).toEqual(["", "10.0.0.5"]);
});

test("an address that is given again while its release is under way is kept", async () => {
  const { promise, resolve } = Promise.withResolvers<object>();
  const { grants, table } = grantsOf({ ReleaseAddress: () => promise });
  await grants.requestPool("x", "n", request);
  await grants.requestAddress(pool, { wanted: "10.0.0.5" });
  const released = grants.releaseAddress(pool, "10.0.0.5");
  await grants.requestAddress(pool, { wanted: "10.0.0.5" });
  resolve({});
  await released;
  expect(table.all().map(({ address }) => address)).toEqual(["", "10.0.0.5"]);
});

test("what could not be given back is given back before the plugin is asked again", async () => {
  let isAway = true;
  const { grants, table, calls } = grantsOf({ ReleaseAddress: () => (isAway ? new Promise(() => {}) : {}) });
  await grants.requestPool("x", "n", request);
  await grants.requestAddress(pool, { wanted: "10.0.0.5" });
  await grants.release(grants.of("n"));
  expect(table.all()).toHaveLength(2);
  isAway = false;
  calls.length = 0;
  await grants.requestPool("x", "other", request);
  expect(calls).toEqual(["ReleaseAddress 10.0.0.5", "ReleasePool", "RequestPool"]);
  expect(table.all().map(({ networkId }) => networkId)).toEqual(["other"]);
});

test("what the plugin refuses to take back is its own affair", async () => {
  const { grants, table } = grantsOf({ ReleaseAddress: () => ({ Error: "never heard of it" }) });
  await grants.requestPool("x", "n", request);
  await grants.requestAddress(pool, { wanted: "10.0.0.5" });
  await grants.release(grants.of("n"));
  expect(table.all()).toEqual([]);
});

test("resume() gives back what is nobody's, and asks again where the plugin forgets", async () => {
  const { grants, table } = grantsOf({});
  await grants.requestPool("x", "n", request);
  for (const wanted of ["10.0.0.1", "10.0.0.2"]) await grants.requestAddress(pool, { wanted });
  const next = grantsOf(
    { GetCapabilities: () => ({ RequiresRequestReplay: true }), RequestPool: () => ({ PoolID: "q", Pool: "10.0.0.0/24" }) },
    table,
  );
  next.grants.resume(({ address }) => address !== "10.0.0.2");
  await next.grants.requestAddress(pool, { wanted: "10.0.0.3" });
  expect(next.calls).toEqual(["RequestPool", "RequestAddress 10.0.0.1", "ReleaseAddress 10.0.0.2", "RequestAddress 10.0.0.3"]);
  expect(table.all().map(({ address, poolId }) => [address, poolId])).toEqual(["", "10.0.0.1", "10.0.0.3"].map((a) => [a, "q"]));
});

test("caughtUp() gives back what is of no network, and forgets what another host gave back with its", async () => {
  const { table, grants } = grantsOf({});
  for (const networkId of ["own", "theirs"]) await grants.requestPool("x", networkId, { ...request, isShared: true });
  const next = grantsOf({}, table);
  next.grants.resume(
    () => false,
    () => false,
  );
  next.grants.caughtUp(
    () => false,
    (networkId) => networkId === "theirs",
  );
  while (table.all().length > 0) await Bun.sleep(5);
  expect(next.calls).toEqual(["ReleasePool"]);
});
