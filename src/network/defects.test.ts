import { expect, test } from "bun:test";
import { cutOffContainers, firewallDefects, type NetworkRepairs, type NetworkView, networkDefects } from "./defects.ts";

const FORWARD = { protocol: "tcp", hostIp: "0.0.0.0", hostPort: 80, containerIp: "10.0.0.2", containerPort: 80 } as const;
const ELEMENT = "ports tcp . 80 : 10.0.0.2 . 80";
const PORT = { protocol: "tcp", hostIp: "0.0.0.0", hostPort: 80 } as const;

/** One container that runs, one sandbox that is ready, one that is leaving; all is well. */
const WELL: NetworkView = {
  held: [{ containerId: "a", places: [{ hostInterface: "veth0000001", addresses: ["10.0.0.2"] }], ports: [PORT], forwards: [FORWARD] }],
  ready: [{ hostInterface: "veth0000002", addresses: ["10.0.0.3"] }],
  leaving: [{ hostInterface: "veth0000003", addresses: ["10.0.0.4"] }],
  rows: ["a"],
  interfaces: new Set(["lo", "veth0000001", "veth0000002", "veth0000003"]),
  plugged: ["veth0000001", "veth0000002", "veth0000003", "somebody0"],
  addresses: ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"],
  reserved: ["10.0.0.1"],
  ports: [PORT],
};

/** What is found, and what its repair does. */
function found(change: Partial<NetworkView>, isRun = true): string[] {
  const done: string[] = [];
  const repairs = new Proxy({} as NetworkRepairs, {
    get:
      (_, name) =>
      (...args: unknown[]) =>
        void done.push(`${String(name)} ${args.map((arg) => JSON.stringify(arg)).join(" ")}`),
  });
  const defects = networkDefects(
    () => ({ ...WELL, ...change }),
    repairs,
    () => isRun,
  );
  return defects.map(({ what, mend }) => {
    void mend();
    return `${what}: ${done.pop()}`;
  });
}

test("nothing is found where all is well, also while sandboxes are torn down", () => {
  expect(found({})).toEqual([]);
});

test("each defect has its repair", () => {
  expect(found({}, false)).toEqual(['an endpoint without a run of container a: release "a"']);
  expect(found({ rows: ["a", "b"] })).toEqual(['a row of an endpoint that is not there of container b: deleteRow "b"']);
  expect(found({ rows: [] })).toEqual(['no row of the endpoint of container a: writeRow "a"']);
  expect(found({ interfaces: new Set(["veth0000001"]) })).toEqual([
    'interface veth0000002 of a sandbox made ahead is gone: dropReady "veth0000002"',
  ]);
  expect(found({ plugged: [...WELL.plugged, "vethabcdef0", "veth-other"] })).toEqual([
    'interface vethabcdef0 is of no endpoint: unplug "vethabcdef0"',
  ]);
  expect(found({ addresses: [...WELL.addresses, "10.0.0.9"] })).toEqual([
    'address 10.0.0.9 is kept for no endpoint: freeAddress "10.0.0.9"',
  ]);
  expect(found({ ports: [PORT, { ...PORT, hostPort: 81 }] })).toEqual([
    'port tcp 0.0.0.0:81 is taken for no endpoint: freePort {"protocol":"tcp","hostIp":"0.0.0.0","hostPort":81}',
  ]);
});

test("a container without its interface is cut off", () => {
  expect(cutOffContainers(WELL)).toEqual([]);
  expect(cutOffContainers({ ...WELL, interfaces: new Set() })).toEqual(["a"]);
});

test("elements of the firewall are compared with what was published before and after they were read", async () => {
  const rules = async (elements: readonly string[] | undefined, views: readonly NetworkView[] = [WELL]): Promise<string[]> => {
    const queue = [...views];
    const look = (): NetworkView => (queue.length > 1 ? (queue.shift() ?? WELL) : (queue[0] ?? WELL));
    const defects = await firewallDefects(
      look,
      async () => elements && new Set(elements),
      () => undefined,
    );
    return defects.map(({ what }) => what);
  };
  const without = { ...WELL, held: [] };
  expect(await rules([ELEMENT])).toEqual([]);
  expect(await rules([])).toEqual([`nft element ${ELEMENT} is missing`]);
  expect(await rules([ELEMENT], [without])).toEqual([`nft element ${ELEMENT} publishes no port`]);
  expect(await rules(undefined)).toEqual(["the nft table is not whole"]);
  for (const elements of [[ELEMENT], []]) {
    expect(await rules(elements, [WELL, without])).toEqual([]);
    expect(await rules(elements, [without, WELL])).toEqual([]);
  }
});
