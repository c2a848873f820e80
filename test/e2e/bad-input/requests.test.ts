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
    ["POST /containers/runs/kill?signal=nope", undefined, 400, /^invalid signal: nope$/i],
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

test("nothing was made by all that, and the engine goes on", async () => {
  expect((await daemon.ok("ps", "-a", "--format", "{{.Names}}")).split("\n").sort()).toEqual(["runs", "there"]);
  expect(await daemon.ok("volume", "ls", "-q")).toBe("");
  const huge = await daemon.api("GET", "/_ping", undefined, { "X-Huge": "x".repeat(2_000_000) }).catch(() => ({ status: 431 }));
  expect(huge.status).toBe(431);
  await daemon.removeContainers();
  expect(await daemon.residue()).toEqual([]);
});
