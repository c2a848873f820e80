import { expect, test } from "bun:test";
import type { Engine } from "./objects.ts";
import { Quota } from "./quota.ts";
import { Access } from "./rules.ts";
import { scopedApi } from "./scoped.ts";

/** An engine of which nothing may be asked. */
const untouchable = new Proxy(
  {},
  {
    get: (_, noun) =>
      new Proxy(
        {},
        {
          get: (__, verb) => () => {
            throw new Error(`${String(noun)}.${String(verb)} was reached`);
          },
        },
      ),
  },
) as Engine;

const NONE = { Containers: 0, Volumes: 0, Networks: 0, Memory: 0, NanoCpus: 0, Pids: 0 };
/** Arguments that a method may look at before it refuses. */
const OPTIONS = { filters: {}, changes: [], repo: "", tag: "", stdin: true, force: true, Labels: {} };

const api = scopedApi(untouchable, {
  access: new Access("nothing", ["system:read"]),
  quota: new Quota(untouchable, "nothing", NONE, undefined),
  isConfined: true,
});

/** What says nothing of anybody. */
const OPEN = ["system.version", "system.info", "system.events", "system.diskUsage"];
const methods = Object.entries(api).flatMap(([noun, methodsOf]) =>
  Object.entries(methodsOf as Record<string, (...args: unknown[]) => unknown>).map(([verb, method]) => ({
    name: `${noun}.${verb}`,
    method,
  })),
);

test("every method of every interface is there", () => {
  expect(methods.length).toBeGreaterThan(60);
});

test.each(methods.filter(({ name }) => !OPEN.includes(name)))("$name is refused when no rule allows it", async ({ name, method }) => {
  // what comes first is an object's name, or the request itself
  const isRequest = /^(?!exec).*\.(create|list|prune|authenticate)$/.test(name);
  const call = async (): Promise<unknown> => (isRequest ? method(OPTIONS, OPTIONS) : method("x", OPTIONS, OPTIONS, OPTIONS));
  await expect(call()).rejects.toThrow("socket nothing does not allow");
});

test("no checkpoint is written to or restored from a directory of the host", async () => {
  const containers = { list: async () => [{ Id: "a".repeat(64), Names: ["/one"], Labels: {} }] };
  const engine = Object.assign(Object.create(untouchable), { containers }) as Engine;
  const access = new Access("some", ["containers:read,control"]);
  const { checkpoints, lifecycle } = scopedApi(engine, { access, quota: new Quota(engine, "some", NONE, undefined), isConfined: true });
  const refused = "socket some does not allow a checkpoint directory";
  const dir = "/etc";
  await expect(checkpoints.create("one", { CheckpointID: "first", CheckpointDir: dir })).rejects.toThrow(refused);
  await expect(checkpoints.list("one", { dir })).rejects.toThrow(refused);
  await expect(checkpoints.remove("one", "first", { dir })).rejects.toThrow(refused);
  await expect(lifecycle.start("one", { checkpoint: "first", checkpointDir: dir })).rejects.toThrow(refused);
});

test("no port of the host's own services is published later", async () => {
  const containers = { list: async () => [{ Id: "a".repeat(64), Names: ["/one"], Labels: {} }] };
  const engine = Object.assign(Object.create(untouchable), { containers }) as Engine;
  const access = new Access("some", ["containers:read,control"]);
  const { ports } = scopedApi(engine, { access, quota: new Quota(engine, "some", NONE, undefined), isConfined: true });
  const add = (HostPort: string) => ports.change("one", { Add: [{ ContainerPort: 80, HostPort }] });
  await expect(add("443")).rejects.toThrow("socket some does not allow HostConfig.PortBindings the host's port 443");
  await expect(add("8443")).rejects.toThrow("ports.change was reached");
});

test("a network is a bridge whose addresses the engine chooses", async () => {
  const access = new Access("some", ["networks:create"]);
  const { networks } = scopedApi(untouchable, { access, quota: new Quota(untouchable, "some", NONE, undefined), isConfined: true });
  const refused: readonly (readonly [object, string])[] = [
    [{ Driver: "macvlan" }, 'Driver "macvlan"'],
    [{ IPAM: { Config: [{ Subnet: "10.0.0.0/8" }] } }, "IPAM Config"],
    [{ IPAM: { Driver: "other" } }, 'IPAM "other"'],
    [{ Options: { "com.docker.network.bridge.name": "eth0" } }, "Options com.docker.network.bridge.name"],
    [{ Labels: { "dhow.serves": "reaper" } }, "Labels the label dhow.serves"],
    [{ Ingress: true }, "Ingress"],
    [{ Scope: "swarm" }, 'Scope "swarm"'],
  ];
  for (const [request, what] of refused) {
    await expect(networks.create({ Name: "n", ...request })).rejects.toThrow(`socket some does not allow Network.${what}`);
  }
  const plain = { Name: "n", Driver: "bridge", IPAM: { Driver: "default", Config: [], Options: {} }, Options: {}, Labels: { a: "b" } };
  await expect(networks.create(plain)).rejects.toThrow("networks.create was reached");
});
