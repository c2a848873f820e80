/**
 * The load of the kill test: workers that do with containers, images and volumes what comes to their mind, and note what the engine
 * answered. A call without an answer (the daemon was killed) may have had its effect or not: then both are allowed, never a third.
 */
import { imageArchive, tar } from "../archive.ts";
import type { Daemon } from "../daemon.ts";
import type { Random } from "./random.ts";

/** `exited:<code>` for an ended container. */
export type Status = "absent" | "created" | "running" | "paused" | "restarting" | `exited:${number}`;

export type Kind = "endless" | "finite" | "terminal" | "remove" | "always";

/** What is known of a container from the engine's answers. */
export interface Known {
  readonly name: string;
  readonly kind: Kind;
  /** What its process ends with by itself or at SIGTERM. */
  readonly code: number;
  id: string;
  allowed: Set<Status>;
  /** A run of its process may have ended without a last word. */
  wasKilled: boolean;
  startedAtMs: number;
  /** User-defined networks that it is, or may be, on. */
  readonly networks: Set<string>;
}

const CALL_MS = 40_000;
const MOST_CONTAINERS = 5;
const YOUNG_MS = 1500;

/**
 * Says "run", counts, and says "end <count>" before it exits, at SIGTERM too: so every line's place in the log is known.
 * The first lines come at once, more than a pipe of the usual size holds when nobody reads it.
 */
export function counting(limit: number, code: number): string[] {
  const script = [
    'trap "s=1" TERM; echo run; i=0; t=0',
    `while [ $i -lt ${limit} ] && [ -z "$s" ]; do echo "$i"; i=$((i+1)); [ $((i % 20)) = 0 ] && [ $i -gt 300 ] && sleep 0.1; done`,
    `echo "end $i"; exit ${code}`,
  ];
  return ["sh", "-c", script.join("; ")];
}

const ENDLESS = 1_000_000;

export class Worker {
  readonly known = new Map<string, Known>();
  /** Names of images that were loaded by this worker, and may be there or not. */
  readonly images = new Map<string, "present" | "absent" | "either">();
  readonly volumes = new Map<string, "present" | "absent" | "either">();
  readonly networks = new Map<string, "present" | "absent" | "either">();
  readonly counts: Record<string, number> = {};
  readonly problems: string[] = [];
  readonly #daemon: Daemon;
  readonly #random: Random;
  readonly #prefix: string;
  #next = 0;
  isStopped = false;

  constructor(daemon: Daemon, random: Random, prefix: string) {
    this.#daemon = daemon;
    this.#random = random;
    this.#prefix = prefix;
  }

  /** Works until `isStopped`. */
  async run(): Promise<void> {
    while (!this.isStopped) {
      try {
        await this.#step();
      } catch (error) {
        if (!(error instanceof NoAnswer)) this.problems.push(`${this.#prefix}: ${error instanceof Error ? error.stack : error}`);
        await this.#awaitDaemon();
      }
    }
  }

  /** Waits for the next daemon, and looks what became of those of which nobody can say whether they are there. */
  async #awaitDaemon(): Promise<void> {
    for (;;) {
      await Bun.sleep(20);
      if (this.isStopped) return;
      try {
        if ((await this.#call("GET", "/_ping")).status !== 200) continue;
        for (const one of this.known.values()) {
          if (one.allowed.size < 2 || !one.allowed.has("absent")) continue;
          if ((await this.#call("GET", `/containers/${one.name}/json`)).status === 404) one.allowed = new Set(["absent"]);
        }
        return;
      } catch {
        // not yet, or no longer
      }
    }
  }

  async #call(method: string, path: string, body?: unknown): Promise<{ status: number; text: string; json: Record<string, unknown> }> {
    const isRaw = body instanceof Uint8Array;
    try {
      const response = await fetch(`http://localhost${path}`, {
        method,
        ...(body === undefined ? {} : { body: isRaw ? (body as Uint8Array<ArrayBuffer>) : JSON.stringify(body) }),
        headers: { "Content-Type": isRaw ? "application/x-tar" : "application/json" },
        unix: this.#daemon.socket,
        keepalive: false,
        signal: AbortSignal.timeout(CALL_MS),
      });
      const text = await response.text();
      let json: Record<string, unknown> = {};
      try {
        json = JSON.parse(text) as Record<string, unknown>;
      } catch {
        // a stream of several objects, or nothing
      }
      return { status: response.status, text, json };
    } catch (error) {
      if (error instanceof Error && error.name === "TimeoutError") this.problems.push(`${this.#prefix}: ${method} ${path} got no answer`);
      throw new NoAnswer();
    }
  }

  #count(what: string): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1;
  }

  /** Does `work`; when no answer comes, what it might have done is allowed, too. */
  async #doing(known: Known, what: string, might: readonly Status[], work: () => Promise<readonly Status[] | undefined>): Promise<void> {
    const before = known.allowed;
    try {
      known.allowed = new Set([...before, ...might]);
      const after = await work();
      known.allowed = after === undefined ? before : new Set(after);
      this.#count(what);
    } catch (error) {
      this.#count(`${what}, cut short`);
      throw error;
    }
  }

  async #step(): Promise<void> {
    const { known } = this;
    const present = [...known.values()].filter((one) => !one.allowed.has("absent") || (one.id !== "" && one.allowed.size > 1));
    const choice = this.#random.next();
    if (present.length < 2 || (present.length < MOST_CONTAINERS && choice < 0.25)) return this.#create();
    if (choice < 0.33) return this.#runOnce();
    if (choice < 0.4) return this.#image();
    if (choice < 0.45) return this.#volume();
    if (choice < 0.5) return this.#network();
    const one = this.#random.pick(present);
    if (one.allowed.has("absent") && (await this.#call("GET", `/containers/${one.name}/json`)).status === 404) {
      one.allowed = new Set(["absent"]);
      return;
    }
    const action = this.#random.pick([
      "start",
      "start",
      "start",
      "stop",
      "kill",
      "restart",
      "pause",
      "unpause",
      "remove",
      "remove",
      "logs",
      "exec",
      "exec",
      "inspect",
      "attach",
      "commit",
      "copy",
      "copy",
      "export",
      "update",
      "prune",
      "connect",
      "connect",
      "disconnect",
      "disconnect",
    ] as const);
    switch (action) {
      case "start":
        return this.#start(one);
      case "stop":
      case "restart":
        return this.#stop(one, action);
      case "kill":
        return this.#kill(one);
      case "pause":
      case "unpause":
        return this.#pause(one, action);
      case "remove":
        return this.#remove(one);
      case "logs":
        await this.#call("GET", `/containers/${one.name}/logs?stdout=1&stderr=1&tail=50`);
        return;
      case "exec":
        return this.#exec(one);
      case "attach":
        return this.#attach(one);
      case "commit":
        return this.#commit(one);
      case "inspect":
        await this.#call("GET", `/containers/${one.name}/json?size=1`);
        return;
      case "copy":
        return this.#copy(one);
      case "export":
        await this.#call("GET", `/containers/${one.name}/${this.#random.pick(["export", "changes"])}`);
        this.#count("export");
        return;
      case "update":
        return this.#update(one);
      case "prune":
        await this.#call("POST", this.#random.pick(["/images/prune", "/volumes/prune"]));
        return;
      case "connect":
      case "disconnect":
        return this.#plug(one, action);
    }
  }

  async #create(): Promise<void> {
    const kind = this.#random.pick(["endless", "endless", "endless", "finite", "finite", "terminal", "remove", "always"] as const);
    const name = `${this.#prefix}${this.#next++}`;
    const code = this.#random.between(0, 5);
    const one: Known = { name, kind, code, id: "", allowed: new Set(["absent"]), wasKilled: false, startedAtMs: 0, networks: new Set() };
    this.known.set(name, one);
    const isEndless = kind === "endless" || kind === "terminal" || (kind === "remove" && this.#random.chance(0.5));
    const limit = isEndless ? ENDLESS : this.#random.between(0, 700);
    const withPort = this.#random.chance(0.3);
    const body = {
      Image: "busybox",
      Cmd: counting(limit, code),
      Tty: kind === "terminal",
      OpenStdin: this.#random.chance(0.3),
      ...(this.#random.chance(0.3) ? { Volumes: { "/anon": {} } } : {}),
      ...(withPort ? { ExposedPorts: { "80/tcp": {} } } : {}),
      HostConfig: {
        AutoRemove: kind === "remove",
        NetworkMode: this.#random.pick(["bridge", "bridge", "none", "host", ...this.#presentNetworks(), ...this.#presentNetworks()]),
        LogConfig: { Type: this.#random.pick(["local", "local", "json-file"]), Config: {} },
        Init: this.#random.chance(0.2),
        ...(withPort ? { PortBindings: { "80/tcp": [{ HostPort: "" }] } } : {}),
        ...(kind === "always" ? { RestartPolicy: { Name: "always" } } : {}),
        ...(this.#random.chance(0.2) ? { Binds: [`${this.#prefix}shared:/shared`] } : {}),
      },
    };
    one.networks.add(body.HostConfig.NetworkMode);
    if (body.HostConfig.Binds) this.volumes.set(`${this.#prefix}shared`, "either");
    await this.#doing(one, "create", ["created"], async () => {
      const { status, text, json } = await this.#call("POST", `/containers/create?name=${name}`, body);
      if (status !== 201) throw new Error(`create ${name}: ${status} ${text}`);
      one.id = String(json["Id"]);
      return ["created"];
    });
    if (this.#random.chance(0.8)) await this.#start(one);
  }

  /** The states in which a container may be found a while after it was started. */
  #started(one: Known): Status[] {
    if (one.kind === "remove") return ["running", "absent"];
    if (one.kind === "finite") return ["running", `exited:${one.code}`];
    if (one.kind === "always") return ["running", "restarting", `exited:${one.code}`];
    return ["running"];
  }

  async #start(one: Known): Promise<void> {
    one.startedAtMs = Date.now();
    await this.#doing(one, "start", [...this.#started(one), ...this.#orphaned(one)], async () => {
      const { status, text } = await this.#call("POST", `/containers/${one.name}/start`);
      if (status === 204) return this.#started(one);
      this.#refused(one, "start", status, text, [304, 404, 409]);
      return undefined;
    });
  }

  /**
   * How a start may end whose daemon dies: a terminal that the runtime has handed over to it and that nobody else holds yet is lost,
   * and the container with it. Nobody was told that it had started.
   */
  #orphaned(one: Known): Status[] {
    if (one.kind !== "terminal") return [];
    one.wasKilled = true;
    // SIGHUP, when its process had the terminal already
    return ["exited:137", "exited:129"];
  }

  async #stop(one: Known, verb: "stop" | "restart"): Promise<void> {
    const ended: Status[] = one.kind === "remove" ? ["absent"] : [`exited:${one.code}`];
    const after = verb === "restart" ? this.#started(one) : ended;
    // SIGTERM may come before the shell has set its trap; as the first process of a namespace it then never hears of it
    const isEarly = Date.now() - one.startedAtMs < YOUNG_MS || one.kind === "always";
    if (isEarly) one.wasKilled = true;
    const early: Status[] = isEarly && one.kind !== "remove" ? ["exited:137", "exited:143"] : [];
    if (verb === "restart") one.startedAtMs = Date.now();
    await this.#doing(
      one,
      verb,
      [...ended, ...after, ...early, ...(verb === "restart" ? this.#orphaned(one) : []), "running"],
      async () => {
        const { status, text } = await this.#call("POST", `/containers/${one.name}/${verb}?t=5`);
        if (status === 204) return [...after, ...early];
        this.#refused(one, verb, status, text, [304, 404, 409]);
        return undefined;
      },
    );
  }

  async #kill(one: Known): Promise<void> {
    const ended: Status[] = one.kind === "remove" ? ["absent"] : ["exited:137"];
    one.wasKilled = true;
    await this.#doing(one, "kill", ["running", ...ended], async () => {
      const { status, text } = await this.#call("POST", `/containers/${one.name}/kill`);
      // its end may come a moment after the answer
      if (status === 204) return [...ended, `exited:${one.code}`];
      this.#refused(one, "kill", status, text, [404, 409]);
      return undefined;
    });
  }

  async #pause(one: Known, verb: "pause" | "unpause"): Promise<void> {
    const after: Status[] = verb === "pause" ? ["paused"] : this.#started(one);
    await this.#doing(one, verb, after, async () => {
      const { status, text } = await this.#call("POST", `/containers/${one.name}/${verb}`);
      if (status === 204) return after;
      this.#refused(one, verb, status, text, [404, 409]);
      return undefined;
    });
  }

  async #remove(one: Known): Promise<void> {
    await this.#doing(one, "remove", ["absent"], async () => {
      const { status, text } = await this.#call("DELETE", `/containers/${one.name}?force=1&v=1`);
      if (status === 204) return ["absent"];
      this.#refused(one, "remove", status, text, [404, 409]);
      return undefined;
    });
  }

  /** An answer that is no success has to fit what is known. */
  #refused(one: Known, verb: string, status: number, text: string, fine: readonly number[]): void {
    if (!fine.includes(status)) this.problems.push(`${verb} ${one.name}: ${status} ${text}`);
    if (status === 404 && !one.allowed.has("absent")) this.problems.push(`${verb} ${one.name}: it is gone, allowed: ${[...one.allowed]}`);
  }

  /** `docker run --rm` with the real command line, which is attached. */
  async #runOnce(): Promise<void> {
    const name = `${this.#prefix}run${this.#next++}`;
    const code = this.#random.between(0, 9);
    const one: Known = {
      name,
      kind: "remove",
      code,
      id: "",
      allowed: new Set(["absent"]),
      wasKilled: false,
      startedAtMs: 0,
      networks: new Set(),
    };
    this.known.set(name, one);
    const command = ["run", "--rm", "--name", name, "-v", "/anon", "busybox", "sh", "-c", `echo first; echo last; exit ${code}`];
    await this.#doing(one, "run --rm", ["created", "running", "absent"], async () => {
      const { stdout, stderr, exitCode } = await this.#daemon.docker(...command);
      if (exitCode === code && stderr === "") {
        if (stdout !== "first\nlast\n") this.problems.push(`run ${name} printed ${JSON.stringify(stdout)}`);
        return ["absent"];
      }
      if (!/daemon|connect|EOF|reset|unexpected|closed/i.test(stderr) && exitCode !== 125) {
        this.problems.push(`run ${name}: exit code ${exitCode} for ${code}, ${JSON.stringify(stderr)}`);
      }
      throw new NoAnswer();
    });
  }

  async #exec(one: Known): Promise<void> {
    const { status, json } = await this.#call("POST", `/containers/${one.name}/exec`, {
      Cmd: this.#random.pick([["true"], ["sh", "-c", "sleep 0.3; exit 4"], ["cat", "/etc/hostname"]]),
      AttachStdout: true,
    });
    if (status !== 201) return;
    await this.#call("POST", `/exec/${String(json["Id"])}/start`, { Detach: this.#random.chance(0.3) });
    this.#count("exec");
  }

  async #attach(one: Known): Promise<void> {
    const follow = this.#random.chance(0.5);
    const args = follow ? ["logs", "-f", "--tail", "5", one.name] : ["attach", "--no-stdin", "--sig-proxy=false", one.name];
    const child = this.#daemon.spawn({}, ...args);
    void child.stdin.end();
    const output = Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
    await Promise.race([child.exited, Bun.sleep(this.#random.between(20, 400))]);
    child.kill("SIGKILL");
    await output;
    this.#count(follow ? "logs -f" : "attach");
  }

  async #image(): Promise<void> {
    const name = `${this.#prefix}image${this.#random.between(0, 2)}:latest`;
    if (this.images.get(name) === "present" && this.#random.chance(0.7)) {
      this.images.set(name, "either");
      const { status, text } = await this.#call("DELETE", `/images/${name}?force=1`);
      if (status !== 200 && status !== 404) this.problems.push(`rmi ${name}: ${status} ${text}`);
      this.images.set(name, "absent");
      this.#count("rmi");
      return;
    }
    const data = new Uint8Array(this.#random.between(1, 2_000_000)).fill(this.#random.between(0, 255));
    const layers = [
      tar([{ name: "base", data: "the same in all" }]),
      tar([{ name: "big", data }, ...Array.from({ length: 50 }, (_, i) => ({ name: `small${i}`, data: `${i}` }))]),
    ];
    this.images.set(name, "either");
    const { status, text } = await this.#call("POST", "/images/load?quiet=1", imageArchive({ name, layers }));
    if (status !== 200 || !text.includes("Loaded image")) {
      if (text.includes("error")) this.problems.push(`load ${name}: ${status} ${text}`);
      throw new NoAnswer();
    }
    this.images.set(name, "present");
    this.#count("load");
  }

  /** An image of a container, which is paused meanwhile, most often, and must not stay so. */
  async #commit(one: Known): Promise<void> {
    const repo = `${this.#prefix}image-made${this.#random.between(0, 1)}`;
    const name = `${repo}:latest`;
    const before = this.images.get(name) ?? "absent";
    if (before === "absent") this.images.set(name, "either");
    const query = `container=${one.name}&repo=${repo}&tag=latest&pause=${this.#random.chance(0.8) ? 1 : 0}`;
    const { status, text } = await this.#call("POST", `/commit?${query}`);
    // it may have ended, and be removed at its end
    if (status !== 201 && status !== 404 && status !== 409) this.problems.push(`commit ${one.name}: ${status} ${text}`);
    this.images.set(name, status === 201 ? "present" : before);
    this.#count("commit");
  }

  /** What was put in comes out again. */
  async #copy(one: Known): Promise<void> {
    const sizeBytes = this.#random.between(1, 3_000_000);
    // seven bits, so that the answer's text has as many characters
    const data = new Uint8Array(sizeBytes).fill(this.#random.between(1, 127));
    const file = `copied${this.#random.between(0, 2)}`;
    const put = await this.#call("PUT", `/containers/${one.name}/archive?path=/`, tar([{ name: file, data }]));
    if (put.status !== 200) {
      this.#refused(one, "cp", put.status, put.text, [404, 409]);
      return;
    }
    const got = await this.#call("GET", `/containers/${one.name}/archive?path=/${file}`);
    if (got.status !== 200) this.#refused(one, "cp", got.status, got.text, [404, 409]);
    else if (got.text.length < 512 + sizeBytes)
      this.problems.push(`cp ${one.name}: ${sizeBytes} bytes went in, ${got.text.length} came out`);
    this.#count("cp");
  }

  async #update(one: Known): Promise<void> {
    const { status, text } = await this.#call("POST", `/containers/${one.name}/update`, { CpuShares: this.#random.between(2, 2000) });
    if (status !== 200) this.#refused(one, "update", status, text, [404, 409]);
    this.#count("update");
  }

  #presentNetworks(): string[] {
    return [...this.networks].filter(([, state]) => state === "present").map(([name]) => name);
  }

  async #network(): Promise<void> {
    const name = `${this.#prefix}net${this.#random.between(0, 2)}`;
    const isThere = this.networks.get(name) === "present";
    const before = this.networks.get(name) ?? "absent";
    // a container whose network is gone can't be started any more
    if (isThere && [...this.known.values()].some((one) => one.networks.has(name))) return;
    this.networks.set(name, "either");
    if (isThere) {
      const { status, text } = await this.#call("DELETE", `/networks/${name}`);
      // 403: a container is on it
      if (status !== 204 && status !== 403) this.problems.push(`network rm ${name}: ${status} ${text}`);
      this.networks.set(name, status === 403 ? "present" : "absent");
      this.#count(status === 403 ? "network rm, in use" : "network rm");
      return;
    }
    const { status, text } = await this.#call("POST", "/networks/create", { Name: name, Internal: this.#random.chance(0.2) });
    // 409: it was made before the last daemon died
    if (status !== 201 && !(status === 409 && before === "either")) this.problems.push(`network create ${name}: ${status} ${text}`);
    this.networks.set(name, "present");
    this.#count("network create");
  }

  async #plug(one: Known, action: "connect" | "disconnect"): Promise<void> {
    const names = this.#presentNetworks();
    if (names.length === 0) return this.#network();
    const network = this.#random.pick(names);
    one.networks.add(network);
    const { status, text } = await this.#call("POST", `/networks/${network}/${action}`, { Container: one.name });
    // refused: on the host's network or on none, connected already or not at all, gone
    if (![200, 204, 400, 403, 404, 409].includes(status)) this.problems.push(`network ${action} ${one.name}: ${status} ${text}`);
    this.#count(status < 300 ? `network ${action}` : `network ${action}, refused`);
  }

  async #volume(): Promise<void> {
    const name = `${this.#prefix}volume${this.#random.between(0, 3)}`;
    const isThere = this.volumes.get(name) === "present";
    this.volumes.set(name, "either");
    if (isThere) {
      const { status, text } = await this.#call("DELETE", `/volumes/${name}`);
      if (status !== 204) this.problems.push(`volume rm ${name}: ${status} ${text}`);
      this.volumes.set(name, "absent");
      this.#count("volume rm");
      return;
    }
    const { status, text } = await this.#call("POST", "/volumes/create", { Name: name });
    if (status !== 201) this.problems.push(`volume create ${name}: ${status} ${text}`);
    this.volumes.set(name, "present");
    this.#count("volume create");
  }
}

/** The daemon was killed before it answered, or is not there. */
class NoAnswer extends Error {}
