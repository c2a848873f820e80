/** Accounts for everything that the daemon under test has, after it was killed: what it says, what is on disk, what is in the kernel. */
import { Database } from "bun:sqlite";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Daemon, until } from "../daemon.ts";
import type { Known, Status, Worker } from "./worker.ts";

interface Inspected {
  readonly Id: string;
  readonly Name: string;
  readonly State: { readonly Status: string; readonly Pid: number; readonly ExitCode: number; readonly Error: string };
  readonly HostConfig: { readonly NetworkMode: string; readonly LogConfig: { readonly Type: string } };
  readonly NetworkSettings: {
    readonly Ports: Record<string, readonly unknown[] | null>;
    readonly Networks: Readonly<Record<string, { readonly IPAddress: string }>>;
  };
  readonly Mounts: readonly { readonly Name?: string }[];
}

function entries(dir: string): string[] {
  return existsSync(dir) ? readdirSync(dir) : [];
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function differences(what: string, found: Iterable<string>, wanted: Iterable<string>): string[] {
  const [has, needs] = [new Set(found), new Set(wanted)];
  return [
    ...[...has].filter((one) => !needs.has(one)).map((one) => `${what}: ${one} is left over`),
    ...[...needs].filter((one) => !has.has(one)).map((one) => `${what}: ${one} is missing`),
  ];
}

/** What is wrong with a log: every run says "run", counts from 0 without a gap, and ends with its count. */
export function logProblem(text: string, options: { readonly isRunning: boolean; readonly mayBreakOff: boolean }): string | undefined {
  const lines = text.replaceAll("\r", "").split("\n");
  const last = lines.pop();
  if (last !== "" && !options.isRunning && !options.mayBreakOff) return `its last line breaks off: ${last}`;
  let next = -1;
  for (const [index, line] of lines.entries()) {
    if (line === "run") {
      if (next >= 0 && !options.mayBreakOff) return `line ${index}: a run after ${next} lines of one that did not end`;
      next = 0;
    } else if (next >= 0 && line === `end ${next}`) next = -1;
    else if (next >= 0 && line === `${next}`) next++;
    else return `line ${index}: ${JSON.stringify(line)} where ${next < 0 ? "run" : next} was to come`;
  }
  if (next >= 0 && !options.isRunning && !options.mayBreakOff) return `the last run breaks off after ${next} lines`;
  return undefined;
}

/** Whether a line names a container by its id or its name. */
function isAbout(line: string, { Id, Name }: Inspected): boolean {
  return line.includes(Id) || line.split(/[^\w-]+/).includes(Name.slice(1));
}

function statusOf({ State }: Inspected): Status {
  return State.Status === "exited" ? `exited:${State.ExitCode}` : (State.Status as Status);
}

function isAllowed(one: Known, status: Status): boolean {
  if (one.allowed.has(status)) return true;
  // the policy starts it again whenever the daemon starts
  const wasStarted = [...one.allowed].some((allowed) => allowed !== "created" && allowed !== "absent");
  return one.kind === "always" && wasStarted && (status === "running" || status === "restarting" || status.startsWith("exited:"));
}

export class Accountant {
  readonly #daemon: Daemon;
  readonly #workers: readonly Worker[];
  readonly #ownImages: number;

  constructor(daemon: Daemon, workers: readonly Worker[], ownImages: number) {
    this.#daemon = daemon;
    this.#workers = workers;
    this.#ownImages = ownImages;
  }

  /** Everything that is wrong, while nobody works; what is cleaned up behind an answer gets the time for it. */
  async account(): Promise<string[]> {
    let found: string[] = [];
    await until("the accounts are right", async () => {
      const before = await this.#inspectAll();
      found = await this.#account();
      // a container that ends by itself, or is started again, while it is looked at makes no sense, and is no fault: on a busy machine
      // one look takes seconds
      const after = await this.#inspectAll();
      const state = (one: Inspected | undefined): string => JSON.stringify(one?.State);
      const moved = [...before.values()].filter((one) => state(one) !== state(after.get(one.Name.slice(1))));
      found = found.filter((line) => !moved.some((one) => isAbout(line, one)));
      const named = [...after.values()].filter((one) => found.some((line) => isAbout(line, one)));
      found.push(...named.map((one) => `state of ${one.Name.slice(1)}: ${state(one)}`));
      return found.length === 0;
    }).catch(() => undefined);
    if (found.length === 0) found.push(...(await this.#goOn()));
    return found;
  }

  async #account(): Promise<string[]> {
    const known = new Map(this.#workers.flatMap((worker) => [...worker.known]));
    const containers = await this.#inspectAll();
    const found: string[] = [];
    for (const [name, one] of known) {
      const container = containers.get(name);
      const status = container === undefined ? "absent" : statusOf(container);
      if (!isAllowed(one, status))
        found.push(
          `container ${name} (${one.kind}) is ${status}, allowed: ${[...one.allowed].join(", ")}; ${container?.State.Error ?? ""}`,
        );
      else if (one.kind !== "always" && (status === "absent" || status === "paused" || status === "created" || one.kind === "endless")) {
        // from now on nothing else
        one.allowed = new Set([status]);
      }
      if (container !== undefined) found.push(...(await this.#accountLog(one, container)));
      if (status === "absent" && one.allowed.size === 1) for (const worker of this.#workers) worker.known.delete(name);
    }
    for (const name of containers.keys()) if (!known.has(name)) found.push(`container ${name}: nobody made it`);
    found.push(...this.#accountKernel([...containers.values()]), ...this.#accountDisk([...containers.values()]));
    found.push(...(await this.#accountNetworks([...containers.values()])));
    found.push(...(await this.#accountImages()), ...(await this.#accountVolumes([...containers.values()])));
    return found;
  }

  async #inspectAll(): Promise<Map<string, Inspected>> {
    const { json } = await this.#daemon.api<readonly { readonly Id: string }[]>("GET", "/containers/json?all=1");
    const all = await Promise.all(json.map(({ Id }) => this.#daemon.api<Inspected>("GET", `/containers/${Id}/json`)));
    return new Map(all.filter(({ status }) => status === 200).map(({ json: one }) => [one.Name.slice(1), one]));
  }

  async #accountLog(one: Known, container: Inspected): Promise<string[]> {
    const before = statusOf(container);
    const text = await this.#log(one.name, container);
    const after = await this.#daemon.api<Inspected>("GET", `/containers/${one.name}/json`);
    if (after.status !== 200 || statusOf(after.json) !== before || after.json.State.Pid !== container.State.Pid) return [];
    const isRunning = container.State.Pid > 0;
    const mayBreakOff = one.wasKilled || container.State.ExitCode >= 128 || one.kind === "always";
    const problem = logProblem(text, { isRunning, mayBreakOff });
    return problem === undefined ? [] : [`log of ${one.name} (${one.kind}, ${container.HostConfig.LogConfig.Type}): ${problem}`];
  }

  async #log(name: string, { State }: Inspected): Promise<string> {
    void State;
    const response = await fetch(`http://localhost/containers/${name}/logs?stdout=1&stderr=1`, { unix: this.#daemon.socket });
    const bytes = Buffer.from(await response.arrayBuffer());
    if (response.headers.get("Content-Type") !== "application/vnd.docker.multiplexed-stream") return bytes.toString();
    const parts: Buffer[] = [];
    for (let at = 0; at + 8 <= bytes.length; ) {
      const length = bytes.readUInt32BE(at + 4);
      parts.push(bytes.subarray(at + 8, at + 8 + length));
      at += 8 + length;
    }
    return Buffer.concat(parts).toString();
  }

  /** Networks that are there, or not; each with its bridge, and an interface on it and an answer of inspect for each container on it. */
  async #accountNetworks(containers: readonly Inspected[]): Promise<string[]> {
    const found: string[] = [];
    const { json: networks } = await this.#daemon.api<readonly { readonly Name: string; readonly Id: string }[]>(
      "GET",
      `/networks?filters=${encodeURIComponent('{"type":["custom"]}')}`,
    );
    const known = new Map(this.#workers.flatMap((worker) => [...worker.networks]));
    const names = networks.map(({ Name }) => Name);
    for (const [name, state] of known) {
      if (state !== "either" && (state === "present") !== names.includes(name)) found.push(`network ${name} is not ${state}`);
    }
    for (const worker of this.#workers) {
      for (const name of worker.networks.keys()) worker.networks.set(name, names.includes(name) ? "present" : "absent");
    }
    for (const name of names) if (!known.has(name)) found.push(`network ${name}: nobody made it`);
    for (const { Name, Id } of networks) {
      const { json } = await this.#daemon.api<{ readonly Containers: Readonly<Record<string, { readonly IPv4Address: string }>> }>(
        "GET",
        `/networks/${Id}`,
      );
      const on = Object.keys(json.Containers);
      const shown = containers.filter(({ State, NetworkSettings }) => State.Pid > 0 && Object.hasOwn(NetworkSettings.Networks, Name));
      found.push(
        ...differences(
          `container on network ${Name}`,
          on,
          shown.map((one) => one.Id),
        ),
      );
      for (const one of shown) {
        const address = one.NetworkSettings.Networks[Name]?.IPAddress;
        if (json.Containers[one.Id]?.IPv4Address.split("/")[0] !== address)
          found.push(`container ${one.Name} has another address on ${Name}`);
        const links = read(`/proc/${one.State.Pid}/net/dev`).match(/\S+(?=:)/g) ?? [];
        const on = Object.keys(one.NetworkSettings.Networks);
        if (links.filter((link) => /^eth\d+$/.test(link)).length !== on.length)
          found.push(`container ${one.Name} (${one.Id.slice(0, 12)}) has ${links.join(", ")} for the networks ${on.join(", ")}`);
      }
      const ports = entries(`/sys/class/net/br-${Id.slice(0, 12)}/brif`).length;
      if (ports !== on.length) found.push(`${ports} interfaces on the bridge of ${Name} for ${on.length} containers`);
    }
    return found;
  }

  #accountKernel(containers: readonly Inspected[]): string[] {
    const { dir, execRoot, dataRoot, pid, bridge, daemonId } = this.#daemon;
    const running = containers.filter(({ State }) => State.Pid > 0);
    const ids = running.map(({ Id }) => Id);
    const found: string[] = [];
    for (const { Name, Id, State } of running) {
      if (!read(`/proc/${State.Pid}/cgroup`).includes(Id)) found.push(`container ${Name}: pid ${State.Pid} is not its process`);
      if (!/^NSpid:.*\s1$/m.test(read(`/proc/${State.Pid}/status`)))
        found.push(`container ${Name}: pid ${State.Pid} is not the first of its namespace`);
    }
    const holders: string[] = [];
    for (const process of entries("/proc").map(Number)) {
      if (!(process > 0) || process === pid) continue;
      const command = read(`/proc/${process}/cmdline`).replaceAll("\0", " ").trim();
      if (!command.includes(`${dir}/`)) continue;
      // an exec names its own id first
      const owner = command.match(/\b[0-9a-f]{64}\b/g)?.at(-1) ?? "";
      if (command.includes("dhow-holder")) holders.push(owner);
      else if (!ids.includes(owner) && !command.startsWith("/usr/bin/docker") && !command.includes("docker ")) {
        found.push(`process ${process} is left over: ${command.slice(0, 300)}`);
      }
    }
    found.push(...differences("holder", holders, ids));
    if (holders.length !== new Set(holders).size) found.push(`a container has two holders: ${holders.join(" ")}`);
    for (const root of ["/sys/fs/cgroup", ...entries("/sys/fs/cgroup").map((name) => `/sys/fs/cgroup/${name}`)]) {
      const groups = entries(join(root, "dhow", daemonId)).filter((name) => /^[0-9a-f]{64}$/.test(name));
      if (groups.length > 0) found.push(...differences(`cgroup in ${root}`, groups, ids));
    }
    const points = read(`/proc/${pid}/mountinfo`)
      .split("\n")
      .map((line) => line.split(" ")[4] ?? "")
      .filter(
        (point) => point.startsWith(`${dir}/`) && point !== dataRoot && point !== execRoot && !point.startsWith(join(execRoot, "bin/")),
      );
    const active = join(dataRoot, "snapshots");
    found.push(
      ...differences(
        "mount",
        points.map((point) => (point.startsWith(active) ? (/[0-9a-f]{64}/.exec(point)?.[0] ?? point) : point)),
        ids,
      ),
    );
    if (points.length !== new Set(points).size) found.push(`mounted twice: ${points.join(" ")}`);
    const plugged = running.filter(({ NetworkSettings }) => Object.hasOwn(NetworkSettings.Networks, "bridge"));
    const ports = entries(`/sys/class/net/${bridge}/brif`).length;
    if (ports < plugged.length || ports > plugged.length + 16)
      found.push(`${ports} interfaces on the bridge for ${plugged.length} containers`);
    const published = running.flatMap(({ NetworkSettings }) =>
      Object.values(NetworkSettings.Ports).filter((rows) => rows !== null && rows.length > 0),
    );
    const table = Bun.spawnSync(["nft", "list", "map", "ip", bridge, "ports"]).stdout.toString();
    const elements = table.match(/\d+ : [\d.]+ \. \d+/g) ?? [];
    if (elements.length !== published.length)
      found.push(`${elements.length} published ports in the table for ${published.length} containers`);
    return found;
  }

  #accountDisk(containers: readonly Inspected[]): string[] {
    const { dataRoot, execRoot } = this.#daemon;
    const all = containers.map(({ Id }) => Id);
    const running = containers.filter(({ State }) => State.Pid > 0).map(({ Id }) => Id);
    const under = (...names: string[]): string[] => entries(join(...names));
    return [
      ...differences("snapshot", under(dataRoot, "snapshots/active"), all),
      ...differences("container directory", under(dataRoot, "containers"), all),
      ...differences(
        "note of new volumes",
        all.filter((id) => existsSync(join(dataRoot, "containers", id, "new-volumes"))),
        [],
      ),
      ...differences("bundle", under(execRoot, "bundles"), running),
      ...differences("state of crun", under(execRoot, "crun"), running),
      ...["snapshots/drafts", "snapshots/trash", "content/ingest", "tmp", "volumes/.removing"].flatMap((name) =>
        differences(name, under(dataRoot, name), []),
      ),
      ...["execs", "scratch", "shm"].flatMap((name) => differences(name, under(execRoot, name), [])),
      ...this.#accountDatabase(all, running, containers),
    ];
  }

  #accountDatabase(all: readonly string[], running: readonly string[], containers: readonly Inspected[]): string[] {
    using db = new Database(join(this.#daemon.dataRoot, "db.sqlite"), { readonly: true });
    const column = (sql: string): string[] =>
      db
        .query<Record<string, string>, []>(sql)
        .all()
        .map((row) => Object.values(row)[0] ?? "");
    const { dataRoot } = this.#daemon;
    const isSandboxed = new Set(containers.filter(({ HostConfig }) => HostConfig.NetworkMode !== "host").map(({ Id }) => Id));
    const links = entries(join(dataRoot, "snapshots/l")).length;
    const layers = column("SELECT chain_id FROM layers");
    return [
      ...column("PRAGMA integrity_check").filter((line) => line !== "ok"),
      ...differences("row of a container", column("SELECT id FROM containers"), all),
      ...differences(
        "row of an endpoint",
        column("SELECT container_id FROM sandboxes"),
        running.filter((id) => isSandboxed.has(id)),
      ),
      ...differences(
        "directory of a layer",
        entries(join(dataRoot, "snapshots/layers")).map((hex) => `sha256:${hex}`),
        layers,
      ),
      ...(links === layers.length ? [] : [`${links} short names for ${layers.length} layers`]),
      ...differences("layer", layers, column("SELECT DISTINCT chain_id FROM image_layers")),
      ...differences(
        "blob",
        entries(join(dataRoot, "content/blobs/sha256")).map((hex) => `sha256:${hex}`),
        column("SELECT id FROM images"),
      ),
      ...differences(
        "directory of a volume",
        entries(join(dataRoot, "volumes")).filter((name) => name !== ".removing"),
        column("SELECT name FROM volumes"),
      ),
    ];
  }

  async #accountImages(): Promise<string[]> {
    const { json } = await this.#daemon.api<readonly { readonly RepoTags: readonly string[] | null }[]>("GET", "/images/json");
    const names = json.flatMap(({ RepoTags }) => RepoTags ?? []).filter((name) => name.includes("image"));
    const found: string[] = [];
    const possible = new Set<string>();
    for (const { images } of this.#workers) {
      for (const [name, state] of images) {
        if (state !== "absent") possible.add(name);
        if (state === "present" && !names.includes(name)) found.push(`image ${name} is gone`);
        images.set(name, names.includes(name) ? "present" : "absent");
      }
    }
    for (const name of names) if (!possible.has(name)) found.push(`image ${name} is there again`);
    if (json.length < this.#ownImages) found.push(`only ${json.length} images are left`);
    return found;
  }

  async #accountVolumes(containers: readonly Inspected[]): Promise<string[]> {
    const { json } = await this.#daemon.api<{ readonly Volumes: readonly { readonly Name: string }[] | null }>("GET", "/volumes");
    const names = (json.Volumes ?? []).map(({ Name }) => Name);
    const used = new Set(containers.flatMap(({ Mounts }) => Mounts.map(({ Name }) => Name)));
    const found: string[] = [];
    const possible = new Set<string>();
    for (const { volumes } of this.#workers) {
      for (const [name, state] of volumes) {
        if (state !== "absent") possible.add(name);
        if (state === "present" && !names.includes(name)) found.push(`volume ${name} is gone`);
        if (!name.endsWith("shared")) volumes.set(name, names.includes(name) ? "present" : "absent");
      }
    }
    for (const name of names) if (!possible.has(name) && !used.has(name)) found.push(`volume ${name} is left over`);
    return found;
  }

  /** What runs also goes on: its log grows. */
  async #goOn(): Promise<string[]> {
    const found: string[] = [];
    const known = new Map(this.#workers.flatMap((worker) => [...worker.known]));
    for (const [name, container] of await this.#inspectAll()) {
      if (container.State.Status !== "running" || known.get(name)?.kind !== "endless") continue;
      const before = (await this.#log(name, container)).length;
      await until(`${name} prints`, async () => (await this.#log(name, container)).length > before).catch(() =>
        found.push(`container ${name} (pid ${container.State.Pid}) has stopped printing`),
      );
    }
    return found;
  }
}
