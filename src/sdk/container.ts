import { setTimeout as sleep } from "node:timers/promises";
import { DhowError, isKind } from "../lib/mod.ts";
import type {
  AttachSession,
  ConditionsText,
  ContainerEgress,
  ContainerInspectResponse,
  ContainerStatsResponse,
  EgressChangeRequest,
  FilesystemChange,
  PortChangeRequest,
  PortChangeResponse,
  WaitCondition,
} from "../spec/engine/mod.ts";
import { orAborted } from "./abort.ts";
import type { EngineAccess, SignalOption } from "./access.ts";
import { type ByteStream, byteStream, opened } from "./bytes.ts";
import { Exec, type ExecOptions } from "./exec.ts";
import { Files } from "./files.ts";
import { repositoryAndTag } from "./images.ts";
import { Output, outputEvents } from "./output.ts";
import { Stdin } from "./stdin.ts";

const HEALTH_POLL_MS = 50;

/** Which part of the logs to read. */
export interface LogOptions extends SignalOption {
  /** Goes on until the container ends. */
  readonly follow?: boolean | undefined;
  /** Default: both. */
  readonly stdout?: boolean | undefined;
  readonly stderr?: boolean | undefined;
  readonly timestamps?: boolean | undefined;
  readonly since?: Date | undefined;
  readonly until?: Date | undefined;
  /** The last lines only. */
  readonly tail?: number | undefined;
}

/** How to stop: `timeoutS` undefined = the container's own (10 s), -1 = wait for ever, 0 = kill at once. */
export interface StopOptions extends SignalOption {
  readonly timeoutS?: number | undefined;
  /** In place of the container's own stop signal. */
  readonly stopSignal?: string | undefined;
}

/** What an image that is made of a container says of itself. */
export interface CommitOptions extends SignalOption {
  readonly author?: string | undefined;
  readonly comment?: string | undefined;
  /** Dockerfile instructions: `ENV A=1`, `CMD ["sh"]`. */
  readonly changes?: readonly string[] | undefined;
  /** Freeze its processes meanwhile; default: true. */
  readonly pause?: boolean | undefined;
}

/** Nanoseconds since the epoch. */
export function nanoseconds(date: Date | undefined): bigint {
  return date === undefined ? 0n : BigInt(Math.round(date.getTime())) * 1_000_000n;
}

/** What is so already needs no change. */
async function unlessDone(call: Promise<void>): Promise<void> {
  try {
    await call;
  } catch (error) {
    if (!isKind(error, "notModified")) throw error;
  }
}

async function attachStdin(access: EngineAccess, id: string): Promise<AttachSession> {
  const session = await access
    .within(undefined)
    .streams.attach(id, { logs: false, stream: true, stdin: true, stdout: false, stderr: false, detachKeys: undefined });
  // nothing comes but the end, after which the connection is of no use
  const closeAtEnd = async (): Promise<void> => {
    for await (const _ of session.output);
    session.close();
  };
  closeAtEnd().catch(() => session.close());
  return session;
}

/** A container. Held with `await using` it is removed with its anonymous volumes, running or not. */
export class Container implements AsyncDisposable {
  readonly id: string;
  /** With `stdin: true` at its creation. */
  readonly stdin: Stdin;
  readonly files: Files;
  readonly #access: EngineAccess;
  #input: Promise<void> | undefined;

  constructor(access: EngineAccess, id: string) {
    this.#access = access;
    this.id = id;
    this.files = new Files(access, id);
    this.stdin = new Stdin(() => attachStdin(access, id));
  }

  /** The name of the machine on which its published ports are reached. */
  get host(): string {
    return this.#access.hostname;
  }

  /** A command in the container; text is left to a shell in it. It starts when the result is used. */
  exec(command: string | readonly string[], options: ExecOptions = {}): Exec {
    return new Exec(this.#access, this.id, command, options);
  }

  /** Starts its process; one that runs goes on. */
  async start({ signal }: SignalOption = {}): Promise<void> {
    await unlessDone(this.#access.within(signal).lifecycle.start(this.id, {}));
  }

  /** Stops its process, if it runs. */
  async stop({ timeoutS, stopSignal, signal }: StopOptions = {}): Promise<void> {
    await unlessDone(this.#access.within(signal).lifecycle.stop(this.id, { timeoutS, signal: stopSignal }));
  }

  async restart({ timeoutS, stopSignal, signal }: StopOptions = {}): Promise<void> {
    await this.#access.within(signal).lifecycle.restart(this.id, { timeoutS, signal: stopSignal });
  }

  /** Sends a signal to its process, SIGKILL by default. */
  async kill(name = "SIGKILL", { signal }: SignalOption = {}): Promise<void> {
    await this.#access.within(signal).lifecycle.kill(this.id, name);
  }

  async pause({ signal }: SignalOption = {}): Promise<void> {
    await this.#access.within(signal).lifecycle.pause(this.id);
  }

  async unpause({ signal }: SignalOption = {}): Promise<void> {
    await this.#access.within(signal).lifecycle.unpause(this.id);
  }

  /** Waits until its process has ended. Returns the exit code. @throws what reading its `input` failed with */
  async wait({ until = "not-running", signal }: { readonly until?: WaitCondition } & SignalOption = {}): Promise<number> {
    const { exit } = await this.#access.within(signal).lifecycle.wait(this.id, until, { signal });
    const { StatusCode, Error: failure } = await orAborted(exit, signal);
    if (failure?.Message) throw new DhowError("internal", failure.Message);
    await this.#input;
    await this.stdin.close();
    return StatusCode ?? 0;
  }

  /** What it wrote so far. */
  logs(options: LogOptions = {}): Output {
    const { follow = false, stdout = true, stderr = true, timestamps = false, since, until, tail, signal } = options;
    const { streams } = this.#access.within(signal);
    const query = { follow, stdout, stderr, timestamps, details: false, tail: tail ?? -1, signal };
    const range = { sinceNs: nanoseconds(since), untilNs: nanoseconds(until) };
    const { id } = this;
    return new Output(async function* () {
      yield* outputEvents((await streams.logs(id, { ...query, ...range })).output);
      signal?.throwIfAborted();
    });
  }

  /** Waits until a line of its logs holds `pattern`. Returns that line. @throws notFound when it ended without */
  async waitForLog(pattern: string | RegExp, { signal }: SignalOption = {}): Promise<string> {
    for await (const line of this.logs({ follow: true, signal }).lines()) {
      if (typeof pattern === "string" ? line.includes(pattern) : pattern.test(line)) return line;
    }
    throw new DhowError("notFound", `wait for ${pattern} in the logs of ${this.id.slice(0, 12)}: its output ended without`);
  }

  /** Waits until its health check succeeds. @throws unavailable when it ends or is unhealthy, invalid when it has none */
  async waitForHealthy({ signal }: SignalOption = {}): Promise<void> {
    for (;;) {
      const { State } = await this.inspect({ signal });
      const status = State?.Health?.Status ?? "none";
      if (status === "healthy") return;
      const fail = (why: string): string => `wait until ${this.id.slice(0, 12)} is healthy: ${why}`;
      if (status === "none") throw new DhowError("invalid", fail("it has no health check"));
      if (status === "unhealthy" || State?.Running !== true)
        throw new DhowError("unavailable", fail(State?.Running ? "it is unhealthy" : "it doesn't run"));
      await sleep(HEALTH_POLL_MS, undefined, { signal });
    }
  }

  /** The port of the host on which a port of the container (`80`, `"53/udp"`) is reached. @throws notFound when it isn't published */
  async port(port: number | string, { signal }: SignalOption = {}): Promise<number> {
    const key = String(port).includes("/") ? String(port) : `${port}/tcp`;
    const { NetworkSettings } = await this.inspect({ signal });
    const published = NetworkSettings?.Ports?.[key]?.[0]?.HostPort;
    if (published === undefined)
      throw new DhowError("notFound", `find the published port ${key} of ${this.id.slice(0, 12)}: not published`);
    return Number(published);
  }

  async inspect({ signal }: SignalOption = {}): Promise<ContainerInspectResponse> {
    return this.#access.within(signal).containers.inspect(this.id, { size: false });
  }

  /** What it uses, every second, until it ends. */
  async *stats({ signal }: SignalOption = {}): AsyncGenerator<ContainerStatsResponse> {
    yield* await this.#access.within(signal).streams.stats(this.id, { stream: true, oneShot: false, signal });
  }

  /** What it has changed of its image; kinds: 0 modified, 1 added, 2 deleted. */
  async changes({ signal }: SignalOption = {}): Promise<FilesystemChange[]> {
    return (await this.#access.within(signal).contents.changes(this.id, { signal })) ?? [];
  }

  /** Its file system as a tar, without what is mounted in it. */
  export({ signal }: SignalOption = {}): ByteStream {
    return byteStream(opened(() => this.#access.within(signal).contents.export(this.id, { signal })));
  }

  /** Makes an image of its changes: `name`, `name:tag`, or without a name. Returns the image's id. */
  async commit(reference = "", options: CommitOptions = {}): Promise<string> {
    const { author = "", comment = "", changes = [], pause = true, signal } = options;
    const name = reference === "" ? { repo: "", tag: "" } : repositoryAndTag(reference);
    const { Id } = await this.#access.within(signal).contents.commit(this.id, { ...name, author, comment, changes, pause, signal });
    return Id;
  }

  async rename(name: string, { signal }: SignalOption = {}): Promise<void> {
    await this.#access.within(signal).containers.rename(this.id, name);
  }

  /** Its egress policy, and what it did under it. */
  async egress({ signal }: SignalOption = {}): Promise<ContainerEgress> {
    return this.#access.within(signal).egress.inspect(this.id);
  }

  /** Gives it another egress policy, also while it runs under one. */
  async changeEgress({ signal, ...change }: EgressChangeRequest & SignalOption): Promise<ContainerEgress> {
    return this.#access.within(signal).egress.change(this.id, change);
  }

  /** Publishes ports of it and takes others back, whether it runs or not: all of it or nothing. */
  async changePorts({ signal, ...change }: PortChangeRequest & SignalOption): Promise<PortChangeResponse> {
    return this.#access.within(signal).ports.change(this.id, change);
  }

  /** Makes its network slower, later, lossier or none of it, also while it runs; answers with what holds from now on. */
  async changeConditions({ signal, ...change }: ConditionsText & SignalOption): Promise<ConditionsText> {
    return this.#access.within(signal).conditions.change(this.id, change);
  }

  /** Removes it; by default with its anonymous volumes, and when it runs. */
  async remove({ force = true, volumes = true, signal }: { readonly force?: boolean; readonly volumes?: boolean } & SignalOption = {}) {
    await this.#access.within(signal).containers.remove(this.id, { force, volumes, link: false });
    await this.stdin.close();
  }

  /** Feeds its stdin; what that fails with comes out at `wait`. */
  feed(feeding: Promise<void>): void {
    this.#input = feeding;
    feeding.catch(() => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.remove();
    } catch (error) {
      if (isKind(error, "notFound")) return;
      if (!isKind(error, "conflict")) throw error;
      await this.#isGone();
    }
  }

  /** Somebody else removes it: an `autoRemove` whose process ended. */
  async #isGone(): Promise<void> {
    try {
      await this.wait({ until: "removed" });
    } catch (error) {
      if (!isKind(error, "notFound")) throw error;
    }
  }
}
