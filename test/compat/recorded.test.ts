/**
 * What lazydocker 0.24 and Portainer CE 2.x ask of an engine, as their sources do (pkg/commands; app/docker/rest and api/docker), replayed
 * against dhow. Checked are the status and the fields, with their types, that the programs read.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeTar } from "../../src/lib/mod.ts";
import { Daemon } from "../e2e/daemon.ts";

type Kind = "string" | "number" | "boolean" | "object" | "array" | "null" | "object?" | "array?";

interface Recorded {
  readonly request: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly status: number;
  /** Of the answer, or of its first element; a path with dots leads into objects. */
  readonly fields?: Readonly<Record<string, Kind>>;
}

const CONTAINER = {
  Id: "string",
  Names: "array",
  Image: "string",
  ImageID: "string",
  Command: "string",
  Created: "number",
  Ports: "array",
} as const;
const LISTED = {
  ...CONTAINER,
  Labels: "object",
  State: "string",
  Status: "string",
  HostConfig: "object",
  NetworkSettings: "object",
  Mounts: "array",
} as const;
const STATS = {
  read: "string",
  "cpu_stats.cpu_usage.total_usage": "number",
  "cpu_stats.system_cpu_usage": "number",
  "cpu_stats.online_cpus": "number",
  "precpu_stats.cpu_usage.total_usage": "number",
  "memory_stats.usage": "number",
  "memory_stats.limit": "number",
  "memory_stats.stats": "object",
  "blkio_stats.io_service_bytes_recursive": "array?",
  "pids_stats.current": "number",
  networks: "object",
} as const;
const INSPECTED = {
  Id: "string",
  Created: "string",
  Path: "string",
  Args: "array",
  "State.Status": "string",
  "State.Running": "boolean",
  "State.ExitCode": "number",
  "State.StartedAt": "string",
  "State.FinishedAt": "string",
  Image: "string",
  Name: "string",
  RestartCount: "number",
  "HostConfig.RestartPolicy.Name": "string",
  "HostConfig.PortBindings": "object?",
  "HostConfig.Binds": "array?",
  "Config.Env": "array",
  "Config.Cmd": "array",
  "Config.Labels": "object",
  "Config.Tty": "boolean",
  "NetworkSettings.Networks": "object",
  "NetworkSettings.Ports": "object",
  Mounts: "array",
} as const;
const IMAGE = { Id: "string", ParentId: "string", RepoTags: "array", Created: "number", Size: "number", Containers: "number" } as const;

/** lazydocker speaks API 1.25, whatever the engine has. */
const LAZYDOCKER: readonly Recorded[] = [
  { request: "GET /v1.25/containers/json?all=1", status: 200, fields: LISTED },
  { request: "GET /v1.25/containers/BOX/json", status: 200, fields: INSPECTED },
  { request: "GET /v1.25/containers/BOX/stats?stream=1", status: 200, fields: STATS },
  { request: "GET /v1.25/containers/BOX/top", status: 200, fields: { Titles: "array", Processes: "array" } },
  { request: "GET /v1.25/images/json", status: 200, fields: { Id: "string", RepoTags: "array", Size: "number", VirtualSize: "number" } },
  {
    request: "GET /v1.25/images/busybox:latest/history",
    status: 200,
    fields: { Id: "string", Created: "number", CreatedBy: "string", Size: "number" },
  },
  { request: "GET /v1.25/volumes", status: 200, fields: { Volumes: "array", Warnings: "array?" } },
  {
    request: "GET /v1.25/networks",
    status: 200,
    fields: { Name: "string", Id: "string", Driver: "string", Scope: "string", Containers: "object", Options: "object" },
  },
  {
    request: "GET /v1.25/events",
    status: 200,
    fields: { Type: "string", Action: "string", "Actor.ID": "string", "Actor.Attributes": "object", timeNano: "number" },
  },
  { request: "POST /v1.25/containers/BOX/pause", status: 204 },
  { request: "POST /v1.25/containers/BOX/unpause", status: 204 },
  { request: "POST /v1.25/containers/BOX/restart", status: 204 },
  { request: "POST /v1.25/containers/BOX/stop", status: 204 },
  { request: "POST /v1.25/containers/BOX/start", status: 204 },
  { request: "DELETE /v1.25/containers/BOX", status: 409, fields: { message: "string" } },
  { request: "POST /v1.25/images/prune?filters=%7B%7D", status: 200, fields: { ImagesDeleted: "array?", SpaceReclaimed: "number" } },
  { request: "POST /v1.25/networks/prune?filters=%7B%7D", status: 200, fields: { NetworksDeleted: "array?" } },
];

const JSON_TYPE = { "Content-Type": "application/json;charset=utf-8" };

/** Portainer names no version in the path, but for its snapshots. */
const PORTAINER: readonly Recorded[] = [
  { request: "GET /_ping", status: 200 },
  {
    request: "GET /info",
    status: 200,
    fields: {
      ID: "string",
      Containers: "number",
      ContainersRunning: "number",
      Images: "number",
      NCPU: "number",
      MemTotal: "number",
      Name: "string",
      OperatingSystem: "string",
      Architecture: "string",
      ServerVersion: "string",
      Driver: "string",
      "Swarm.LocalNodeState": "string",
      "Plugins.Volume": "array",
      "Plugins.Network": "array",
      "Plugins.Log": "array",
      "RegistryConfig.IndexConfigs": "object",
      Runtimes: "object",
      DefaultRuntime: "string",
      SecurityOptions: "array",
    },
  },
  {
    request: "GET /version",
    status: 200,
    fields: {
      Version: "string",
      ApiVersion: "string",
      "Components.0.Name": "string",
      Os: "string",
      Arch: "string",
      KernelVersion: "string",
    },
  },
  { request: "GET /containers/json?all=1&filters=%7B%7D", status: 200, fields: LISTED },
  { request: "GET /containers/json?all=1&size=1", status: 200, fields: { ...LISTED, SizeRootFs: "number" } },
  { request: "GET /containers/BOX/json", status: 200, fields: INSPECTED },
  { request: "GET /containers/BOX/stats?stream=false", status: 200, fields: STATS },
  { request: "GET /containers/BOX/top", status: 200, fields: { Titles: "array", Processes: "array" } },
  { request: "GET /containers/BOX/logs?stdout=1&stderr=1&timestamps=0&since=0&tail=100", status: 200 },
  { request: "GET /images/json?all=0", status: 200, fields: IMAGE },
  {
    request: "GET /images/busybox:latest/json",
    status: 200,
    fields: { Id: "string", "RootFS.Layers": "array", "Config.Cmd": "array", Size: "number", Os: "string" },
  },
  {
    request: "GET /images/busybox:latest/history",
    status: 200,
    fields: { Id: "string", Created: "number", CreatedBy: "string", Tags: "array", Size: "number" },
  },
  { request: "GET /volumes", status: 200, fields: { Volumes: "array", Warnings: "array?" } },
  { request: "GET /volumes?filters=%7B%22dangling%22:%5B%22true%22%5D%7D", status: 200, fields: { Volumes: "array" } },
  {
    request: "POST /volumes/create",
    headers: JSON_TYPE,
    body: { Name: "portainer", Driver: "local", DriverOpts: {} },
    status: 201,
    fields: { Name: "string", Mountpoint: "string", Scope: "string" },
  },
  { request: "GET /volumes/portainer", status: 200, fields: { Name: "string", Driver: "string", CreatedAt: "string", Labels: "object?" } },
  { request: "DELETE /volumes/portainer", status: 204 },
  {
    request: "GET /networks",
    status: 200,
    fields: {
      Name: "string",
      Id: "string",
      "IPAM.Config": "array?",
      Internal: "boolean",
      Attachable: "boolean",
      Ingress: "boolean",
      Options: "object",
    },
  },
  { request: "GET /networks/bridge", status: 200, fields: { Name: "string", Containers: "object" } },
  { request: "GET /plugins", status: 200 },
  {
    request: "GET /system/df",
    status: 200,
    fields: { LayersSize: "number", Images: "array", Containers: "array", Volumes: "array", BuildCache: "array?" },
  },
  { request: "GET /events?since=1&until=NOW", status: 200, fields: { Type: "string", Action: "string", time: "number" } },
  // axios sends an empty object where the API wants nothing
  { request: "POST /containers/BOX/pause", headers: JSON_TYPE, body: {}, status: 204 },
  { request: "POST /containers/BOX/unpause", headers: JSON_TYPE, body: {}, status: 204 },
  { request: "POST /containers/BOX/restart", headers: JSON_TYPE, body: {}, status: 204 },
  { request: "POST /containers/BOX/kill", headers: JSON_TYPE, body: {}, status: 204 },
  { request: "POST /containers/BOX/start", headers: JSON_TYPE, body: {}, status: 204 },
  { request: "POST /containers/BOX/rename?name=box", headers: JSON_TYPE, body: {}, status: 400, fields: { message: "string" } },
  {
    request: "POST /containers/BOX/update",
    headers: JSON_TYPE,
    body: { RestartPolicy: { Name: "no", MaximumRetryCount: 0 } },
    status: 200,
    fields: { Warnings: "array?" },
  },
  {
    request: "POST /containers/BOX/exec",
    headers: JSON_TYPE,
    body: { AttachStdin: true, AttachStdout: true, AttachStderr: true, Tty: true, User: "root", Cmd: ["sh"] },
    status: 201,
    fields: { Id: "string" },
  },
  { request: "PUT /containers/BOX/archive?path=/tmp", headers: { "Content-Type": "application/tar" }, body: "TAR", status: 200 },
  { request: "POST /images/busybox:latest/tag?repo=portainer/tagged&tag=1&force=0", headers: JSON_TYPE, body: {}, status: 201 },
  { request: "GET /images/get?names=portainer/tagged:1", status: 200 },
  { request: "DELETE /images/portainer%2Ftagged:1?force=false", status: 200, fields: { Untagged: "string" } },
  { request: "POST /commit?container=BOX&repo=portainer/made&tag=1", headers: JSON_TYPE, body: {}, status: 201, fields: { Id: "string" } },
  { request: "DELETE /images/portainer/made:1?force=true", status: 200, fields: { Untagged: "string" } },
  { request: "GET /swarm", status: 503, fields: { message: "string" } },
  { request: "GET /services", status: 503, fields: { message: "string" } },
  { request: "GET /nodes", status: 503, fields: { message: "string" } },
  { request: "GET /tasks", status: 503, fields: { message: "string" } },
  { request: "GET /secrets", status: 503, fields: { message: "string" } },
  { request: "GET /configs", status: 503, fields: { message: "string" } },
  {
    request: "POST /containers/prune?filters=%7B%7D",
    headers: JSON_TYPE,
    body: {},
    status: 200,
    fields: { ContainersDeleted: "array?", SpaceReclaimed: "number" },
  },
];

const skipReason = process.getuid?.() === 0 ? "" : "needs root";
let daemon: Daemon;

beforeAll(async () => {
  if (skipReason !== "") return;
  daemon = await Daemon.start();
  const health = ["--health-cmd", "true", "--health-interval", "1s"];
  await daemon.ok(
    "run",
    "-d",
    "--name",
    "box",
    "--label",
    "a=b",
    "-p",
    "80",
    "-v",
    "vol:/vol",
    ...health,
    "--init",
    "busybox",
    "sleep",
    "1000",
  );
});

afterAll(async () => {
  if (skipReason === "") await daemon[Symbol.asyncDispose]();
});

function kindOf(value: unknown): string {
  return value === null ? "null" : Array.isArray(value) ? "array" : typeof value;
}

function at(value: unknown, path: string): unknown {
  return path
    .split(".")
    .reduce<unknown>((inner, key) => (typeof inner === "object" && inner !== null ? Reflect.get(inner, key) : undefined), value);
}

async function emptyTar(): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of writeTar([])) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** The answer's first JSON value; a stream is left after it. */
async function firstValue(response: Response): Promise<unknown> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    if (text.includes("\n")) break;
  }
  const value: unknown = JSON.parse(text.split("\n")[0] ?? "");
  return Array.isArray(value) ? value[0] : value;
}

async function replay({ request, headers = {}, body, status, fields }: Recorded): Promise<void> {
  const [method = "", path = ""] = request.split(" ");
  const target = path.replace("BOX", "box").replace("NOW", String(Math.floor(Date.now() / 1000) + 1));
  const sent = body === undefined ? undefined : body === "TAR" ? await emptyTar() : JSON.stringify(body);
  const response = await fetch(`http://localhost${target}`, {
    method,
    headers,
    ...(sent === undefined ? {} : { body: sent }),
    unix: daemon.socket,
  });
  // something has to happen while events are watched
  if (target.endsWith("/events"))
    await daemon.api("POST", "/containers/box/rename?name=renamed").then(() => daemon.api("POST", "/containers/renamed/rename?name=box"));
  if (response.status !== status) throw new Error(`${request}: ${response.status} ${await response.text()}`);
  if (fields === undefined) return void (await response.arrayBuffer());
  const value = await firstValue(response);
  for (const [field, kind] of Object.entries(fields)) {
    const wanted = kind.endsWith("?") ? [kind.slice(0, -1), "null"] : [kind];
    expect({ request, field, kind: kindOf(at(value, field)) }).toMatchObject({
      kind: expect.stringMatching(new RegExp(`^(${wanted.join("|")})$`)),
    });
  }
}

test.skipIf(skipReason !== "").each(LAZYDOCKER.map((recorded) => [recorded.request, recorded] as const))("lazydocker: %s", (_, recorded) =>
  replay(recorded),
);

test.skipIf(skipReason !== "").each(PORTAINER.map((recorded) => [recorded.request, recorded] as const))("Portainer: %s", (_, recorded) =>
  replay(recorded),
);
