import { describe, expect, test } from "bun:test";
import { DhowError } from "../../src/lib/mod.ts";
import { fakeEngine } from "./fake-engine.ts";
import { serve } from "./serve.ts";

interface Golden {
  readonly request: string;
  readonly body?: unknown;
  readonly answer?: unknown;
  /** The call that the engine gets; signals and versions are left out. */
  readonly call?: readonly [method: string, ...args: unknown[]];
  readonly status: number;
  readonly json?: unknown;
}

const pairs: readonly Golden[] = [
  {
    request: "GET /v1.51/containers/json?all=1&limit=3&size=true&filters=%7B%22status%22%3A%5B%22paused%22%5D%7D",
    answer: [{ Id: "8dfafdbc3a40", Names: ["/boring_feynman"] }],
    call: ["containers.list", { all: true, limit: 3, size: true, filters: { status: ["paused"] } }],
    status: 200,
    json: [{ Id: "8dfafdbc3a40", Names: ["/boring_feynman"] }],
  },
  {
    request: "POST /v1.56/containers/create?name=web&platform=linux%2Famd64",
    body: { Image: "ubuntu", Cmd: ["date"], HostConfig: { Memory: 7, PidsLimit: 0 } },
    answer: { Id: "ede54ee1afda", Warnings: [] },
    call: [
      "containers.create",
      { Image: "ubuntu", Cmd: ["date"], HostConfig: { Memory: 7, NetworkMode: "bridge" }, NetworkingConfig: { EndpointsConfig: {} } },
      { name: "web", platform: "linux/amd64", version: [1, 56] },
    ],
    status: 201,
    json: { Id: "ede54ee1afda", Warnings: [] },
  },
  {
    request: "GET /containers/web/json?size=1",
    answer: { Id: "c" },
    call: ["containers.inspect", "web", { size: true }],
    status: 200,
    json: { Id: "c" },
  },
  {
    request: "GET /containers/web/top?ps_args=aux",
    answer: { Titles: ["PID"], Processes: [["1"]] },
    call: ["streams.top", "web", "aux"],
    status: 200,
    json: { Titles: ["PID"], Processes: [["1"]] },
  },
  { request: "POST /containers/web/logs/clear", call: ["streams.clearLogs", "web"], status: 204 },
  {
    request: "GET /containers/web/changes",
    answer: [{ Path: "/etc", Kind: 0 }],
    call: ["contents.changes", "web", {}],
    status: 200,
    json: [{ Path: "/etc", Kind: 0 }],
  },
  { request: "GET /containers/web/changes", answer: null, call: ["contents.changes", "web", {}], status: 200, json: null },
  {
    request: "POST /commit?container=web&repo=r&tag=t&author=a&comment=c&pause=0&changes=ENV+A%3D1&changes=USER+b",
    answer: { Id: "sha256:1" },
    call: [
      "contents.commit",
      "web",
      { repo: "r", tag: "t", author: "a", comment: "c", pause: false, changes: ["ENV A=1", "USER b"], config: undefined },
    ],
    status: 201,
    json: { Id: "sha256:1" },
  },
  {
    request: "POST /commit?container=web",
    body: { Env: ["A=1"], HostConfig: { Memory: 1 } },
    answer: { Id: "sha256:1" },
    call: ["contents.commit", "web", { repo: "", tag: "", author: "", comment: "", pause: true, changes: [], config: { Env: ["A=1"] } }],
    status: 201,
    json: { Id: "sha256:1" },
  },
  { request: "POST /containers/web/resize?h=24&w=80", call: ["streams.resize", "web", { rows: 24, columns: 80 }], status: 200 },
  { request: "POST /containers/web/start?detachKeys=ctrl-a", call: ["lifecycle.start", "web", { detachKeys: "ctrl-a" }], status: 204 },
  { request: "POST /v1.41/containers/web/stop?t=-1&signal=INT", call: ["lifecycle.stop", "web", { timeoutS: -1 }], status: 204 },
  {
    request: "POST /v1.42/containers/web/stop?t=0&signal=INT",
    call: ["lifecycle.stop", "web", { timeoutS: 0, signal: "INT" }],
    status: 204,
  },
  { request: "POST /containers/web/restart", call: ["lifecycle.restart", "web", {}], status: 204 },
  { request: "POST /containers/web/kill?signal=HUP", call: ["lifecycle.kill", "web", "HUP"], status: 204 },
  { request: "POST /containers/web/kill", call: ["lifecycle.kill", "web", "SIGKILL"], status: 204 },
  { request: "POST /containers/web/rename?name=new", call: ["containers.rename", "web", "new"], status: 204 },
  {
    request: "POST /v1.51/containers/web/update",
    body: { Memory: 7, PidsLimit: -1, RestartPolicy: { Name: "always" } },
    answer: { Warnings: null },
    call: ["containers.update", "web", { Memory: 7, PidsLimit: -1, RestartPolicy: { Name: "always" } }],
    status: 200,
    json: { Warnings: null },
  },
  {
    request: "POST /v1.39/containers/web/update",
    body: { CpusetCpus: "0", PidsLimit: 3 },
    answer: { Warnings: ["w"] },
    call: ["containers.update", "web", { CpusetCpus: "0" }],
    status: 200,
    json: { Warnings: ["w"] },
  },
  {
    request: "POST /containers/web/ports",
    body: { Remove: [{ HostPort: "8080" }], Add: [{ ContainerPort: 80, HostPort: "8081", Allow: ["10.0.0.0/8"] }] },
    answer: { Ports: {} },
    call: [
      "ports.change",
      "web",
      { Remove: [{ HostPort: "8080" }], Add: [{ ContainerPort: 80, HostPort: "8081", Allow: ["10.0.0.0/8"] }] },
    ],
    status: 200,
    json: { Ports: {} },
  },
  {
    request: "POST /containers/web/conditions",
    body: { Rate: "10mbit", Loss: "" },
    answer: { Rate: "10mbit" },
    call: ["conditions.change", "web", { Rate: "10mbit", Loss: "" }],
    status: 200,
    json: { Rate: "10mbit" },
  },
  {
    request: "GET /ports/audit",
    answer: { Ports: [], Warnings: ["w"] },
    call: ["ports.audit"],
    status: 200,
    json: { Ports: [], Warnings: ["w"] },
  },
  {
    request: "GET /containers/web/egress",
    answer: { Id: "i", Mode: "none" },
    call: ["egress.inspect", "web"],
    status: 200,
    json: { Id: "i", Mode: "none" },
  },
  {
    request: "POST /containers/web/egress",
    body: { Mode: "enforce", Allow: ["example.org"] },
    answer: { Id: "i", Mode: "enforce" },
    call: ["egress.change", "web", { Mode: "enforce", Allow: ["example.org"] }],
    status: 200,
    json: { Id: "i", Mode: "enforce" },
  },
  {
    request: "POST /auth",
    body: { username: "joe", password: "secret", serveraddress: "registry.test", identitytoken: "" },
    answer: { Status: "Login Succeeded", IdentityToken: "" },
    call: ["system.authenticate", { username: "joe", password: "secret", serveraddress: "registry.test", identitytoken: "" }, {}],
    status: 200,
    json: { Status: "Login Succeeded", IdentityToken: "" },
  },
  { request: "POST /containers/web/pause", call: ["lifecycle.pause", "web"], status: 204 },
  { request: "POST /containers/web/unpause", call: ["lifecycle.unpause", "web"], status: 204 },
  {
    request: "DELETE /containers/web?v=1&force=1",
    call: ["containers.remove", "web", { force: true, volumes: true, link: false }],
    status: 204,
  },
  {
    request: "POST /containers/prune?filters=%7B%22until%22%3A%7B%225m%22%3Atrue%7D%7D",
    answer: { ContainersDeleted: null, SpaceReclaimed: 0 },
    call: ["containers.prune", { until: ["5m"] }],
    status: 200,
    json: { ContainersDeleted: null, SpaceReclaimed: 0 },
  },
  {
    request: "POST /containers/web/exec",
    body: { Cmd: ["ls"], Tty: true, AttachStdout: true, ConsoleSize: [24, 80] },
    answer: { Id: "e1" },
    call: ["exec.create", "web", { Cmd: ["ls"], Tty: true, AttachStdout: true, ConsoleSize: [24, 80] }],
    status: 201,
    json: { Id: "e1" },
  },
  {
    request: "POST /exec/e1/start",
    body: { Detach: true },
    answer: null,
    call: ["exec.start", "e1", { Detach: true }, {}],
    status: 200,
  },
  { request: "POST /exec/e1/resize?h=1&w=2", call: ["exec.resize", "e1", { rows: 1, columns: 2 }], status: 200 },
  {
    request: "GET /exec/e1/json",
    answer: { ID: "e1", ExitCode: null },
    call: ["exec.inspect", "e1"],
    status: 200,
    json: { ID: "e1", ExitCode: null },
  },
  {
    request: "GET /v1.40/images/json?filter=busybox&all=1",
    answer: [],
    call: ["images.list", { all: true, digests: false, sharedSize: false, manifests: false, filters: { reference: ["busybox"] } }],
    status: 200,
    json: [],
  },
  {
    request: "GET /images/registry.test%3A5000/a/b:c/json",
    answer: { Id: "sha256:0", RepoTags: [], RepoDigests: [] },
    call: ["images.inspect", "registry.test:5000/a/b:c", { manifests: false }],
    status: 200,
    json: { Id: "sha256:0", RepoTags: [], RepoDigests: [] },
  },
  { request: "GET /images/a/b/history", answer: [], call: ["images.history", "a/b", {}], status: 200, json: [] },
  { request: "POST /images/a/tag?repo=r&tag=t", call: ["images.tag", "a", { repo: "r", tag: "t" }], status: 201 },
  {
    request: "DELETE /images/a/b:c?force=1&noprune=1",
    answer: [{ Untagged: "a/b:c" }],
    call: ["images.remove", "a/b:c", { force: true, noPrune: true }],
    status: 200,
    json: [{ Untagged: "a/b:c" }],
  },
  {
    request: "POST /images/prune?filters=%7B%22dangling%22%3A%5B%22false%22%5D%7D",
    answer: { ImagesDeleted: null, SpaceReclaimed: 0 },
    call: ["images.prune", { dangling: ["false"] }],
    status: 200,
    json: { ImagesDeleted: null, SpaceReclaimed: 0 },
  },
  {
    request: "GET /volumes",
    answer: { Volumes: [], Warnings: null },
    call: ["volumes.list", {}],
    status: 200,
    json: { Volumes: [], Warnings: null },
  },
  {
    request: "POST /volumes/create",
    body: { name: "v", Driver: "local", Labels: { a: "b" } },
    answer: { Name: "v" },
    call: ["volumes.create", { Name: "v", Driver: "local", Labels: { a: "b" } }],
    status: 201,
    json: { Name: "v" },
  },
  { request: "GET /volumes/v", answer: { Name: "v" }, call: ["volumes.inspect", "v"], status: 200, json: { Name: "v" } },
  { request: "DELETE /volumes/v?force=true", call: ["volumes.remove", "v", { force: true }], status: 204 },
  { request: "POST /v1.41/volumes/prune", answer: {}, call: ["volumes.prune", { all: ["true"] }, {}], status: 200, json: {} },
  { request: "POST /v1.42/volumes/prune", answer: {}, call: ["volumes.prune", {}, {}], status: 200, json: {} },
  { request: "GET /networks", answer: [{ Name: "bridge" }], call: ["networks.list", {}], status: 200, json: [{ Name: "bridge" }] },
  {
    request: "GET /v1.51/networks",
    answer: [{ Name: "bridge", EnableIPv4: true }],
    call: ["networks.list", {}],
    status: 200,
    json: [{ Name: "bridge", EnableIPv4: true, Containers: {} }],
  },
  {
    request: "POST /networks/create",
    body: {
      Name: "my_network",
      CheckDuplicate: true,
      Driver: "bridge",
      Scope: "string",
      Internal: true,
      Attachable: false,
      Ingress: false,
      ConfigOnly: false,
      ConfigFrom: { Network: "config_only_network_01" },
      IPAM: {
        Driver: "default",
        Config: [
          { Subnet: "172.20.0.0/16", IPRange: "172.20.10.0/24", Gateway: "172.20.10.11", AuxiliaryAddresses: { a: "172.20.10.5" } },
          { Subnet: "2001:db8:abcd::/64" },
        ],
        Options: { foo: "bar" },
      },
      EnableIPv4: true,
      EnableIPv6: true,
      Options: { "com.docker.network.bridge.name": "docker0" },
      Labels: { "com.example.some-label": "some-value" },
    },
    answer: { Id: "b5c4fc71e8022147cd25de22b22173de4e3b170134117172eb595cb91b4e7e5d", Warning: "" },
    call: [
      "networks.create",
      {
        Name: "my_network",
        Driver: "bridge",
        Scope: "string",
        Internal: true,
        Attachable: false,
        Ingress: false,
        ConfigOnly: false,
        ConfigFrom: { Network: "config_only_network_01" },
        IPAM: {
          Driver: "default",
          Config: [
            { Subnet: "172.20.0.0/16", IPRange: "172.20.10.0/24", Gateway: "172.20.10.11", AuxiliaryAddresses: { a: "172.20.10.5" } },
            { Subnet: "2001:db8:abcd::/64" },
          ],
          Options: { foo: "bar" },
        },
        EnableIPv4: true,
        EnableIPv6: true,
        Options: { "com.docker.network.bridge.name": "docker0" },
        Labels: { "com.example.some-label": "some-value" },
      },
    ],
    status: 201,
    json: { Id: "b5c4fc71e8022147cd25de22b22173de4e3b170134117172eb595cb91b4e7e5d", Warning: "" },
  },
  {
    request: "POST /v1.47/networks/create",
    body: { Name: "n", EnableIPv4: false, EnableIPv6: null },
    answer: { Id: "b5c4", Warning: "" },
    call: ["networks.create", { Name: "n" }],
    status: 201,
    json: { Id: "b5c4", Warning: "" },
  },
  {
    request: "POST /networks/n/connect",
    body: {
      Container: "3613f73ba0e4",
      EndpointConfig: {
        IPAMConfig: { IPv4Address: "172.24.56.89", IPv6Address: "2001:db8::5689", LinkLocalIPs: ["169.254.34.68"] },
        Links: ["container_1"],
        MacAddress: "02:42:ac:12:05:02",
        Aliases: ["server_x"],
        DriverOpts: { "com.docker.network.endpoint.ifname": "eth5" },
        GwPriority: 100,
      },
    },
    call: [
      "networks.connect",
      "n",
      {
        Container: "3613f73ba0e4",
        EndpointConfig: {
          IPAMConfig: { IPv4Address: "172.24.56.89", IPv6Address: "2001:db8::5689", LinkLocalIPs: ["169.254.34.68"] },
          Links: ["container_1"],
          MacAddress: "02:42:ac:12:05:02",
          Aliases: ["server_x"],
          DriverOpts: { "com.docker.network.endpoint.ifname": "eth5" },
          GwPriority: 100,
        },
      },
    ],
    status: 200,
  },
  {
    request: "POST /v1.47/networks/n/connect",
    body: { Container: "c", EndpointConfig: { GwPriority: 100, MacAddress: "02:42:00:00:00:01" } },
    call: ["networks.connect", "n", { Container: "c", EndpointConfig: { GwPriority: 0 } }],
    status: 200,
  },
  {
    request: "POST /v1.53/networks/n/connect",
    body: { Container: "c", EndpointConfig: { GwPriority: 100, MacAddress: "02:42:00:00:00:01" } },
    call: ["networks.connect", "n", { Container: "c", EndpointConfig: { GwPriority: 100 } }],
    status: 200,
  },
  { request: "POST /networks/n/connect", body: { Container: "c" }, call: ["networks.connect", "n", { Container: "c" }], status: 200 },
  {
    request: "POST /networks/n/disconnect",
    body: { Container: "c", Force: true },
    call: ["networks.disconnect", "n", { Container: "c", Force: true }],
    status: 200,
  },
  { request: "DELETE /networks/n", call: ["networks.remove", "n"], status: 204 },
  {
    request: "GET /networks/bridge?verbose=true&scope=local",
    answer: { Name: "bridge" },
    call: ["networks.inspect", "bridge", { verbose: true, scope: "local" }],
    status: 200,
    json: { Name: "bridge" },
  },
  {
    request: "POST /networks/prune",
    answer: { NetworksDeleted: null },
    call: ["networks.prune", {}],
    status: 200,
    json: { NetworksDeleted: null },
  },
  {
    request: "GET /version",
    answer: { Version: "1" },
    call: ["system.version"],
    status: 200,
    json: { Version: "1", ApiVersion: "1.56", MinAPIVersion: "1.24" },
  },
  { request: "GET /info", answer: { ID: "x" }, call: ["system.info"], status: 200, json: { ID: "x" } },
  {
    request: "GET /v1.51/system/df?type=volume",
    answer: { LayersSize: 0, Images: [], Containers: [], Volumes: [], BuildCache: [] },
    call: ["system.diskUsage", ["volume"], {}],
    status: 200,
    json: { LayersSize: 0, Images: null, Containers: null, Volumes: [], BuildCache: null },
  },
  { request: "GET /plugins", status: 200, json: [] },
  { request: "POST /build/prune", status: 200, json: { CachesDeleted: null, SpaceReclaimed: 0 } },
  { request: "POST /build/cancel?id=x", status: 200 },
  { request: "POST /build/cancel", status: 500, json: { message: "build ID not provided" } },
  { request: "OPTIONS /anything", status: 200 },
];

/** The arguments without signals and without what is undefined, as JSON has them. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value, (key, item) => (key === "signal" ? undefined : item)));
}

describe("a request becomes a call and its result an answer", () => {
  for (const pair of pairs) {
    test(pair.request, async () => {
      const [method = "", path = ""] = pair.request.split(" ");
      const engine = fakeEngine(pair.call ? { [pair.call[0]]: async () => pair.answer } : {});
      await using server = await serve(engine.api);
      const init =
        pair.body === undefined ? {} : { body: JSON.stringify(pair.body), headers: { "Content-Type": "application/json; charset=utf-8" } };
      const response = await server.fetch(method, path, init);
      expect(response.status).toBe(pair.status);
      expect(engine.calls.map((call) => plain([call.method, ...call.args]))).toEqual(pair.call ? [plain(pair.call)] : []);
      const text = await response.text();
      expect(text === "" ? undefined : JSON.parse(text)).toEqual(pair.json as never);
      expect(response.headers.get("api-version")).toBe("1.56");
      expect(response.headers.get("docker-experimental")).toBe("false");
      expect(response.headers.get("ostype")).toBe("linux");
      expect(response.headers.get("server")).toBe("Docker/1.2.3 (linux)");
    });
  }
});

test("GET /v1.27/networks shows the containers of each, and none that is removed meanwhile", async () => {
  const engine = fakeEngine({
    "networks.list": async () => [{ Id: "1" }, { Id: "2" }],
    "networks.inspect": async (id: string) => {
      if (id === "2") throw new DhowError("notFound", "network 2 not found");
      return { Id: id, EnableIPv4: true, Containers: { c: { Name: "web" } }, Status: {} };
    },
  });
  await using server = await serve(engine.api);
  const response = await server.fetch("GET", "/v1.27/networks", {});
  expect(await response.json()).toEqual([{ Id: "1", Containers: { c: { Name: "web" } } }]);
});

const JSON_TYPE = { "Content-Type": "application/json" };
const refusals: readonly (readonly [request: string, init: RequestInit, status: number, message: string])[] = [
  ["GET /nothing", {}, 404, "page not found"],
  ["POST /v1.41/build", {}, 404, "page not found"],
  ["GET /containers/create", {}, 404, "page not found"],
  ["PATCH /containers/json", {}, 404, "page not found"],
  ["GET /v1.99/version", {}, 400, "client version 1.99 is too new. Maximum supported API version is 1.56"],
  [
    "GET /v1.12/version",
    {},
    400,
    "client version 1.12 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version",
  ],
  [
    "POST /containers/create",
    { body: "{}", headers: { "Content-Type": "text/plain" } },
    400,
    "unsupported Content-Type header (text/plain): must be 'application/json'",
  ],
  ["POST /containers/create", {}, 400, "invalid JSON: EOF"],
  ["POST /containers/create", { body: "{}", headers: JSON_TYPE }, 400, "config cannot be empty in order to create a container"],
  ["POST /containers/create", { body: '{"Image":"a"} {}', headers: JSON_TYPE }, 400, "unexpected content after JSON"],
  ["POST /containers/create", { body: "{", headers: JSON_TYPE }, 400, "invalid JSON: unexpected EOF"],
  [
    "POST /volumes/create",
    { body: "[]", headers: JSON_TYPE },
    400,
    "invalid JSON: json: cannot unmarshal array into Go value of type volume.CreateRequest",
  ],
  ["POST /containers/c/exec", { body: "{}", headers: JSON_TYPE }, 400, "No exec command specified"],
  ["GET /containers/json?limit=x", {}, 400, 'strconv.Atoi: parsing "x": invalid syntax'],
  ["GET /containers/json?filters=x", {}, 400, "invalid filter"],
  ["GET /containers/json?filters=%7B%22bogus%22%3A%5B%22x%22%5D%7D", {}, 400, "invalid filter 'bogus'"],
  ["GET /containers/c/logs", {}, 400, "must specify at least one of 'stdout' or 'stderr'"],
  ["POST /containers/c/resize?h=a&w=1", {}, 400, 'invalid resize height "a": invalid syntax'],
  ["POST /containers/c/wait?condition=never", {}, 400, 'invalid condition: "never"'],
  [
    "POST /containers/c/start",
    { body: '{"Binds":[]}', headers: JSON_TYPE },
    400,
    "starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24",
  ],
  ["GET /images/a/get?platform=x", {}, 400, "failed to parse platform: invalid JSON"],
  ["DELETE /images/%20", {}, 400, "image name cannot be blank"],
  ["GET /events?since=x", {}, 400, `invalid value for 'since': invalid timestamp "x": invalid seconds "x": invalid syntax`],
  [
    "GET /containers/c/logs?stdout=1&until=x",
    {},
    400,
    'invalid value for "until": invalid timestamp "x": invalid seconds "x": invalid syntax',
  ],
  ["GET /events?since=5&until=4", {}, 400, "`since` time (5) cannot be after `until` time (4)"],
  ["GET /system/df?type=x", {}, 400, "unknown object type: x"],
  [
    "GET /images/a/json?manifests=1&platform=%7B%22os%22%3A%22linux%22%2C%22architecture%22%3A%22amd64%22%7D",
    {},
    400,
    "conflicting options: manifests and platform options cannot both be set",
  ],
  [
    "POST /networks/create",
    { body: '{"Name":1}', headers: JSON_TYPE },
    400,
    "invalid JSON: json: cannot unmarshal number into Go struct field CreateRequest.Name of type string",
  ],
  [
    "POST /networks/create",
    { body: '{"IPAM":{"Config":[{"Subnet":1}]}}', headers: JSON_TYPE },
    400,
    "invalid JSON: json: cannot unmarshal number into Go struct field IPAMConfig.IPAM.Config.Subnet of type string",
  ],
  ["POST /networks/create", { body: "{", headers: JSON_TYPE }, 400, "invalid JSON: unexpected EOF"],
  [
    "POST /networks/n/connect",
    { body: '{"EndpointConfig":{"Aliases":"x"}}', headers: JSON_TYPE },
    400,
    "invalid JSON: json: cannot unmarshal string into Go struct field EndpointSettings.EndpointConfig.Aliases of type []string",
  ],
  [
    "POST /networks/n/disconnect",
    { body: '{"Force":"y"}', headers: JSON_TYPE },
    400,
    "invalid JSON: json: cannot unmarshal string into Go struct field DisconnectRequest.Force of type bool",
  ],
  ["GET /networks/a?verbose=x", {}, 400, 'invalid value for verbose: x: strconv.ParseBool: parsing "x": invalid syntax'],
  [
    "GET /services",
    {},
    503,
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.',
  ],
  ["GET /plugins/x/json", {}, 404, 'plugin "x" not found'],
  ["GET /images/%zz/json", {}, 400, 'invalid URL escape in "/images/%zz/json"'],
];

describe("a bad request is refused with docker's words", () => {
  for (const [request, init, status, message] of refusals) {
    test(`${request} ${init.body ?? ""}`, async () => {
      const [method = "", path = ""] = request.split(" ");
      const engine = fakeEngine();
      await using server = await serve(engine.api);
      const response = await server.fetch(method, path, init);
      expect({ status: response.status, body: await response.json() }).toEqual({ status, body: { message } });
      expect(engine.calls).toEqual([]);
    });
  }
});

test("kinds of failure become status codes; 304 has no body", async () => {
  const kinds = {
    invalid: 400,
    unauthenticated: 401,
    forbidden: 403,
    notFound: 404,
    conflict: 409,
    unavailable: 503,
    unsupported: 501,
    internal: 500,
  } as const;
  for (const [kind, status] of Object.entries(kinds)) {
    const engine = fakeEngine({
      "containers.inspect": async () => {
        throw new DhowError(kind as keyof typeof kinds, `No such container: ${kind}`);
      },
    });
    await using server = await serve(engine.api);
    const response = await server.fetch("GET", "/containers/x/json");
    expect({ status: response.status, body: await response.json() }).toEqual({ status, body: { message: `No such container: ${kind}` } });
  }
  const engine = fakeEngine({
    "lifecycle.start": async () => {
      throw new DhowError("notModified", "");
    },
  });
  await using server = await serve(engine.api);
  const response = await server.fetch("POST", "/containers/x/start");
  expect({ status: response.status, body: await response.text() }).toEqual({ status: 304, body: "" });
});

test("the archive endpoints say in a header what a path is, and pack for clients that take it", async () => {
  const stat = { name: "a", size: 5, mode: 2147484141, mtime: "2026-11-25T18:58:36.365092219Z", linkTarget: "" };
  const archive = async function* () {
    yield Buffer.from("one ");
    yield Buffer.from("two");
  };
  let put: unknown;
  const engine = fakeEngine({
    "files.stat": async () => stat,
    "files.getArchive": async () => ({ stat, archive: archive() }),
    "files.putArchive": async (ref: string, path: string, body: AsyncIterable<Uint8Array>, options: object) => {
      let text = "";
      for await (const chunk of body) text += Buffer.from(chunk).toString();
      put = plain([ref, path, text, options]);
    },
  });
  await using server = await serve(engine.api);
  const head = await server.fetch("HEAD", "/containers/c/archive?path=/a");
  const header = "X-Docker-Container-Path-Stat";
  expect(JSON.parse(atob(head.headers.get(header) ?? ""))).toEqual(stat);
  expect(Buffer.from(head.headers.get(header) ?? "", "base64").toString()).toBe(JSON.stringify(stat));
  for (const [accepted, encoding] of [
    ["identity", null],
    ["gzip;q=0", null],
    ["deflate, gzip;q=0.5", "gzip"],
  ] as const) {
    const response = await server.fetch("GET", "/containers/c/archive?path=/a", { headers: { "Accept-Encoding": accepted } });
    expect(response.headers.get("content-type")).toBe("application/x-tar");
    expect(response.headers.get("content-encoding")).toBe(encoding);
    expect(response.headers.get(header)).toBe(head.headers.get(header));
    expect(await response.text()).toBe("one two");
  }
  const query = "path=%2Fa+b&noOverwriteDirNonDir=true&copyUIDGID=1";
  const done = await server.fetch("PUT", `/containers/c/archive?${query}`, {
    body: "an archive",
    headers: { "Content-Type": "application/x-tar" },
  });
  expect([done.status, done.headers.get("content-length"), await done.text()]).toEqual([200, "0", ""]);
  expect(put).toEqual(["c", "/a b", "an archive", { noOverwriteDirNonDir: true, copyUidGid: true }]);
  const refused = await server.fetch("PUT", "/containers/c/archive");
  expect([refused.status, await refused.text()]).toEqual([400, '{"message":"bad parameter: pathcannot be empty"}\n']);
});

test("_ping answers GET and HEAD with every header", async () => {
  await using server = await serve(fakeEngine().api);
  for (const [method, body] of [
    ["GET", "OK"],
    ["HEAD", ""],
  ] as const) {
    const response = await server.fetch(method, "/v1.30/_ping");
    expect(await response.text()).toBe(body);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "api-version": "1.56",
      "builder-version": "1",
      "cache-control": "no-cache, no-store, must-revalidate",
      "content-length": String(body.length),
      "content-type": "text/plain; charset=utf-8",
      "docker-experimental": "false",
      ostype: "linux",
      pragma: "no-cache",
      swarm: "inactive",
    });
  }
  expect(server.logged.join("")).toContain("Calling HEAD /v1.30/_ping");
});
