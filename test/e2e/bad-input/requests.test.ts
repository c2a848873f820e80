/** Requests that are wrong: docker's status and docker's sentence, and the engine goes on. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Daemon } from "../daemon.ts";

let daemon: Daemon;

beforeAll(async () => {
  daemon = await Daemon.start();
  await daemon.ok("create", "--name", "there", "busybox", "true");
  await daemon.ok("run", "-d", "--name", "runs", "busybox", "sleep", "1000");
}, 120_000);

afterAll(() => daemon?.[Symbol.asyncDispose]());

type Wrong = readonly [request: string, body: unknown, status: number, message: string | RegExp];

const V = "/v1.45";

/** What is not as it should be about the answer; undefined when all is well. */
async function difference([request, body, status, message]: Wrong): Promise<string | undefined> {
  const [method = "", path = ""] = request.split(" ");
  const headers: Record<string, string> = typeof body === "string" ? { "Content-Type": "application/json" } : {};
  const answer = await daemon.api<{ readonly message?: string }>(method, V + path, body, headers);
  const said = answer.json?.message ?? answer.text.trim();
  const isRight = typeof message === "string" ? said === message : message.test(said);
  if (answer.status === status && isRight) return undefined;
  return `${request} ${JSON.stringify(body) ?? ""}: ${answer.status} ${said}, expected ${status} ${message}`;
}

const create = (config: object, message: string | RegExp, status = 400): Wrong => [
  "POST /containers/create",
  { Image: "busybox", Cmd: ["true"], ...config },
  status,
  message,
];
const host = (config: object, message: string | RegExp, status = 400): Wrong => create({ HostConfig: config }, message, status);
const named = (name: string, message: string | RegExp, status = 400): Wrong => [
  `POST /containers/create?name=${encodeURIComponent(name)}`,
  { Image: "busybox" },
  status,
  message,
];

const groups: Readonly<Record<string, readonly Wrong[]>> = {
  "bodies that are no JSON of the right form": [
    ["POST /containers/create", "{", 400, "invalid JSON: unexpected EOF"],
    ["POST /containers/create", "", 400, /EOF/],
    ["POST /containers/create", "{}{}", 400, "unexpected content after JSON"],
    ["POST /containers/create", "[]", 400, /^invalid JSON: json: cannot unmarshal array into Go value/],
    ["POST /containers/create", '{"Image":5}', 400, /cannot unmarshal number into Go struct field .*Image of type string$/],
    [
      "POST /containers/create",
      '{"Image":"busybox","HostConfig":{"Memory":"5"}}',
      400,
      /string into Go struct field .*Memory of type int64$/,
    ],
    ["POST /volumes/create", '{"Name":5}', 400, /cannot unmarshal number into Go struct field .*Name of type string$/],
    ["POST /containers/runs/exec", "{", 400, "invalid JSON: unexpected EOF"],
    ["POST /containers/create", "null", 400, "config cannot be empty in order to create a container"],
    [
      "POST /containers/create",
      '{"Image":"busybox","HostConfig":{"Memory":1e9}}',
      400,
      /unmarshal number 1e9 into Go struct field .*Memory/,
    ],
    [
      "POST /containers/create",
      '{"Image":"busybox","StopTimeout":99999999999999999999}',
      400,
      /unmarshal number 99999999999999999999 into/,
    ],
    ["POST /containers/there/update", "", 400, "invalid JSON: EOF"],
    ["POST /containers/there/update", '{"Memory":"x"}', 400, /string into Go struct field UpdateConfig\.Resources\.Memory of type int64$/],
    ["POST /commit?container=there", "{", 400, "invalid JSON: unexpected EOF"],
    ["POST /auth", "[]", 400, "invalid JSON: json: cannot unmarshal array into Go value of type registry.AuthConfig"],
  ],
  "names of containers": [
    named("a b", "Invalid container name (a b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"),
    named("-x", "Invalid container name (-x), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"),
    named("x", "Invalid container name (x), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"),
    named("é", /^Invalid container name \(é\), only/),
    named("there", /^Conflict\. The container name "\/there" is already in use by container "[0-9a-f]{64}"\. You have to remove/, 409),
    [
      "POST /containers/there/rename?name=a%20b",
      undefined,
      400,
      /^Error when allocating new name: Invalid container name \(\/?a b\), only/,
    ],
    ["POST /containers/there/rename?name=runs", undefined, 409, /Conflict\. The container name "\/runs" is already in use/],
  ],
  images: [
    ["POST /images/create?fromSrc=file:///etc/hostname", "", 500, 'Get "file:///etc/hostname": unsupported protocol scheme "file"'],
    ["POST /images/create?fromSrc=data://,x", "", 500, 'Get "data://,x": unsupported protocol scheme "data"'],
    ["POST /images/create?fromSrc=%252Fx.tar", "", 400, 'parse "http://%2Fx.tar": invalid URL escape "%2F"'],
    ["POST /images/create", undefined, 400, "no image or source given: set fromImage or fromSrc"],
    ["POST /images/create?fromSrc=-&repo=x&changes=RUN%20x", "", 400, "RUN is not a valid change command"],
    ["GET /images/get?names=", undefined, 400, "invalid reference format"],
    ["DELETE /images/%20", undefined, 400, "image name cannot be blank"],
    ["GET /images/json?filters={%22dangling%22:[%22x%22]}", undefined, 400, "invalid filter 'dangling=[x]'"],
    ["POST /images/prune?filters={%22until%22:[%22x%22]}", undefined, 400, 'failed to parse value as time or duration: "x"'],
    create({ Image: "nope" }, "No such image: nope:latest", 404),
    create({ Image: "busybox:bad tag" }, "invalid reference format"),
    ["POST /images/busybox/tag?repo=x&tag=b%20d", undefined, 400, "invalid tag format"],
    ["POST /images/busybox/tag?repo=sha256", undefined, 400, "refusing to create an ambiguous tag using digest algorithm as name"],
    [`POST /images/busybox/tag?repo=${"a".repeat(300)}`, undefined, 400, "repository name must not be more than 255 characters"],
    ["DELETE /images/nope", undefined, 404, "No such image: nope:latest"],
    ["GET /images/nope/get", undefined, 404, /No such image: nope|reference does not exist/],
    ["GET /images/nope/history", undefined, 404, "No such image: nope:latest"],
    ["POST /images/create?fromImage=busybox&platform=x/y/z/q", undefined, 400, /"x\/y\/z\/q": cannot parse platform specifier/],
  ],
  "sizes and numbers out of range": [
    host({ Memory: 1 }, "Minimum memory limit allowed is 6MB"),
    host({ Memory: 10485760, MemorySwap: 1 }, /^Minimum memoryswap limit should be larger than memory limit/),
    host({ MemorySwap: 10485760 }, "You should always set the Memory limit when using Memoryswap limit, see usage"),
    host({ MemorySwappiness: 101 }, /^Invalid value: 101, valid memory swappiness range is 0-100/),
    host({ CpuPeriod: 1 }, "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"),
    host({ CpuQuota: 1 }, "CPU cfs quota can not be less than 1ms (i.e. 1000)"),
    host({ NanoCpus: 1000000000, CpuQuota: 50000 }, "Conflicting options: Nano CPUs and CPU Quota cannot both be set"),
    host({ CpusetCpus: "x" }, /^Invalid value x for cpuset cpus/),
    host({ CpusetCpus: "0-999" }, /^Requested CPUs are not available - requested 0-999, available: /),
    host({ OomScoreAdj: 2000 }, "Invalid value 2000, range for oom score adj is [-1000, 1000]"),
    host({ ShmSize: -1 }, "SHM size can not be less than 0"),
    host({ StorageOpt: { size: "1g" } }, "--storage-opt is supported only for overlay over xfs with 'pquota' mount option", 500),
    host({ StorageOpt: { nope: "1" } }, "unknown option nope", 500),
    host({ Ulimits: [{ Name: "nope", Soft: 1, Hard: 1 }] }, "invalid ulimit type: nope"),
    ["POST /containers/there/update", { NanoCpus: -1 }, 400, /^range of CPUs is from 0\.01 to /],
    ["POST /containers/runs/resize?h=x&w=1", undefined, 400, 'invalid resize height "x": invalid syntax'],
    ["POST /containers/runs/resize?h=1&w=-1", undefined, 400, 'invalid resize width "-1": value out of range'],
    ["POST /exec/nope/resize", undefined, 400, 'invalid resize height "": invalid syntax'],
    create({ Healthcheck: { Test: ["CMD", "x"], Interval: 5 } }, "Interval in Healthcheck cannot be less than 1ms"),
    create({ Healthcheck: { Test: ["CMD", "x"], Retries: -1 } }, "Retries in Healthcheck cannot be negative"),
  ],
  "ports, hosts and networks": [
    host({ PortBindings: { "80/tcp": [{ HostPort: "x" }] } }, /^invalid port specification: "x"|invalid.*port/i),
    host({ PortBindings: { "80/tcp": [{ HostPort: "99999" }] } }, /99999/),
    host({ ExtraHosts: ["x"] }, 'bad format for add-host: "x"'),
    host({ ExtraHosts: ["x:y"] }, 'invalid IP address in add-host: "y"'),
    host({ NetworkMode: "container:" }, /invalid container format container:<name\|id>$/i),
  ],
  "mounts and other containers": [
    host({ Binds: ["/a:rel"] }, /invalid mount path: 'rel' mount path must be absolute$/),
    host({ Binds: ["/a:/b:zz"] }, "invalid mode: zz"),
    host({ Binds: ["/a:/"] }, /destination can't be '\/'$/),
    host({ Binds: ["one:/c", "two:/c"] }, "Duplicate mount point: /c"),
    host({ Mounts: [{ Type: "bind", Source: "/dhow-nope", Target: "/a" }] }, /bind source path does not exist: \/dhow-nope$/),
    host({ VolumesFrom: ["nope"] }, "No such container: nope"),
    host({ IpcMode: "container:nope" }, "No such container: nope"),
    host({ PidMode: "container:nope" }, "No such container: nope"),
    host({ Links: ["nope:x"] }, "could not get container for nope: No such container: nope"),
    ["POST /volumes/create", { Name: "../x" }, 400, /includes invalid characters for a local volume name/],
    ["DELETE /volumes/nope", undefined, 404, "get nope: no such volume"],
  ],
  "files and commits": [
    ["GET /containers/there/archive", undefined, 400, "bad parameter: pathcannot be empty"],
    ["GET /containers/there/archive?path=/nope", undefined, 404, "Could not find the file /nope in container there"],
    ["PUT /containers/there/archive?path=/nope", "", 404, "Could not find the file /nope in container there"],
    ["PUT /containers/there/archive?path=/tmp", "no tar", 500, "unexpected EOF"],
    ["POST /commit", "{}", 400, "bad parameter: container name or ID is empty"],
    ["POST /commit?container=nope", "{}", 404, "No such container: nope"],
    ["POST /commit?container=there&repo=NOPE", "{}", 400, "invalid reference format: repository name (library/NOPE) must be lowercase"],
    [
      "POST /commit?container=there&changes=VOLUME%20[]",
      "{}",
      400,
      "dockerfile parse error on line 1: VOLUME requires at least one argument",
    ],
    ["POST /commit?container=there&changes=EXPOSE%20x", "{}", 400, "dockerfile parse error on line 1: invalid containerPort: x"],
    ["POST /commit?container=there&changes=SHELL%20x", "{}", 400, "SHELL is not a valid change command"],
  ],
  "what is asked of containers": [
    ["POST /containers/nope/start", undefined, 404, "No such container: nope"],
    ["DELETE /containers/nope?force=1", undefined, 404, "No such container: nope"],
    [
      "DELETE /containers/runs",
      undefined,
      409,
      /cannot remove container "\/runs": container is running: stop the container before removing or force remove$/,
    ],
    ["POST /containers/there/kill", undefined, 409, /container [0-9a-f]{64} is not running$/i],
    ["POST /containers/there/pause", undefined, 409, /^container [0-9a-f]{64} is not running$/i],
    ["POST /containers/runs/unpause", undefined, 409, /^Container [0-9a-f]{64} is not paused$/],
    ["POST /containers/runs/kill?signal=nope", undefined, 400, "cannot kill container: runs: invalid signal: nope"],
    ["POST /containers/runs/kill?signal=99", undefined, 400, "cannot kill container: runs: the linux daemon does not support signal 99"],
    ["POST /containers/runs/exec", { Cmd: ["x"], DetachKeys: "nope" }, 400, "Invalid escape keys (nope) provided"],
    ["POST /containers/runs/attach?stream=1&detachKeys=nope", undefined, 400, "Invalid detach keys (nope) provided"],
    ["POST /containers/nope/attach", undefined, 404, "No such container: nope"],
    ["GET /containers/runs/attach/ws", undefined, 400, "not websocket protocol"],
    ["GET /containers/runs/top?ps_args=%00", undefined, 500, "ps: fork/exec /usr/bin/ps: invalid argument"],
    ["POST /containers/runs/wait?condition=nope", undefined, 400, 'invalid condition: "nope"'],
    ["POST /containers/there/start", "{ and more }", 400, /^starting container with non-empty request body was deprecated/],
    ["POST /containers/runs/checkpoints", { CheckpointID: "../x" }, 400, /^invalid checkpoint ID "\.\.\/x", only/],
    ["POST /containers/runs/checkpoints", { CheckpointID: "x".repeat(300) }, 500, /file name too long$/],
    ["POST /sockets", {}, 400, /^Invalid socket name \(\), only/],
    ["POST /leases", { TTL: "-5s" }, 400, 'invalid TTL "-5s": must be a duration above zero, such as 10m'],
    ["GET /containers/%ff/json", undefined, 404, "No such container: \ufffd"],
    ["GET /containers/a%0ab/json", undefined, 404, "page not found"],
    ["GET /containers/runs/logs?stdout=1&since=99999999999999999999", undefined, 400, /value out of range$/],
    ["GET /events?since=x", undefined, 400, /^invalid value for 'since': invalid timestamp "x"/],
    ["GET /events?since=10&until=5", undefined, 400, "`since` time (10) cannot be after `until` time (5)"],
    ["GET /system/df?type=x", undefined, 400, "unknown object type: x"],
    ["PUT /containers/json", undefined, 404, "page not found"],
    ["PUT /containers/there/json", undefined, 404, "page not found"],
    ["POST /containers/prune?filters={%22until%22:[%221h%22,%222h%22]}", undefined, 400, "more than one until filter specified"],
    ["POST /containers/runs/stop?t=x", undefined, 400, 'strconv.Atoi: parsing "x": invalid syntax'],
    ["POST /containers/there/exec", { Cmd: ["x"] }, 409, /^container [0-9a-f]{64} is not running$/i],
    ["POST /containers/runs/exec", {}, 400, "No exec command specified"],
    ["GET /exec/nope/json", undefined, 404, "No such exec instance: nope"],
    ["GET /containers/there/logs?stdout=1&since=x", undefined, 400, /invalid/],
    ["GET /containers/json?limit=x", undefined, 400, 'strconv.Atoi: parsing "x": invalid syntax'],
    ['GET /containers/json?filters={"x":["y"]}', undefined, 400, /^invalid filter 'x'$/i],
    ["GET /containers/json?filters=x", undefined, 400, /invalid/],
    ["GET /nope", undefined, 404, "page not found"],
    ["GET /networks/nope", undefined, 404, "network nope not found"],
  ],
};

for (const [what, wrongs] of Object.entries(groups)) {
  test(`refuses in docker's words: ${what}`, async () => {
    const found: (string | undefined)[] = [];
    for (const wrong of wrongs) found.push(await difference(wrong));
    expect(found.filter((one) => one !== undefined)).toEqual([]);
  });
}

test("a list of pointers to nothing means nothing", async () => {
  const body = {
    Image: "busybox",
    HostConfig: { Ulimits: [null], BlkioDeviceReadBps: [null], Mounts: [], PortBindings: { "80/tcp": [null] } },
  };
  expect((await daemon.api("POST", "/containers/create?name=nulls", body)).status).toBe(201);
  await daemon.ok("rm", "nulls");
});

test("no label is there that only JavaScript's objects have", async () => {
  for (const label of ["constructor", "toString", "__proto__", "hasOwnProperty=x"]) {
    expect(await daemon.ok("ps", "-aq", "--filter", `label=${label}`)).toBe("");
    expect(await daemon.ok("images", "-q", "--filter", `label=${label}`)).toBe("");
  }
});

test("nothing was made by all that, and the engine goes on", async () => {
  expect((await daemon.ok("ps", "-a", "--format", "{{.Names}}")).split("\n").sort()).toEqual(["runs", "there"]);
  expect(await daemon.ok("volume", "ls", "-q")).toBe("");
  const huge = await daemon.api("GET", "/_ping", undefined, { "X-Huge": "x".repeat(2_000_000) }).catch(() => ({ status: 431 }));
  expect(huge.status).toBe(431);
  await daemon.removeContainers();
  expect(await daemon.residue()).toEqual([]);
});
