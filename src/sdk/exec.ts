import { setTimeout as sleep } from "node:timers/promises";
import { DhowError } from "../lib/mod.ts";
import type { AttachSession } from "../spec/engine/mod.ts";
import type { EngineAccess, SignalOption } from "./access.ts";
import { type ByteSource, concat } from "./bytes.ts";
import { linesOf, type OutputEvent, outputEvents } from "./output.ts";
import { Stdin } from "./stdin.ts";

const EXIT_POLL_MS = 10;

/** How to run a command in a container. */
export interface ExecOptions extends SignalOption {
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** The working directory. */
  readonly cwd?: string | undefined;
  /** `name`, `uid`, `name:group` or `uid:gid`. */
  readonly user?: string | undefined;
  /** What the command reads, to its end. */
  readonly input?: ByteSource | undefined;
  /** Keeps the command's stdin open for `Exec.stdin`. */
  readonly stdin?: boolean | undefined;
  /** Gives it a terminal; then everything comes on stdout. */
  readonly tty?: boolean | undefined;
  readonly privileged?: boolean | undefined;
}

/** What happens to a command: pieces of its output, at last its end. */
export type ExecEvent = OutputEvent | { readonly kind: "exit"; readonly exitCode: number };

/** What a command left. */
export interface ExecResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command that ended with another exit code than 0. */
export class ExecError extends Error {
  override readonly name = "ExecError";
  readonly command: readonly string[];
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;

  constructor(command: readonly string[], { exitCode, stdout, stderr }: ExecResult) {
    const said = (stderr.trim() || stdout.trim()).split("\n").slice(-5).join("\n");
    super(`${command.join(" ")}: exit code ${exitCode}${said === "" ? "" : `: ${said}`}`);
    this.command = command;
    this.exitCode = exitCode;
    this.stdout = stdout;
    this.stderr = stderr;
  }
}

/** The words of a command; text is left to a shell in the container. */
export function commandWords(command: string | readonly string[]): readonly string[] {
  return typeof command === "string" ? ["/bin/sh", "-c", command] : command;
}

/** `NAME=value` as the engine wants them. */
export function envWords(env: Readonly<Record<string, string>>): readonly string[] {
  return Object.entries(env).map(([name, value]) => `${name}=${value}`);
}

interface Started {
  readonly id: string;
  readonly session: AttachSession;
}

/** A command in a running container. It starts when it is first used and its output can be read once, in one of the ways below. */
export class Exec implements AsyncIterable<ExecEvent> {
  readonly command: readonly string[];
  /** With `stdin: true`. */
  readonly stdin: Stdin;
  readonly #access: EngineAccess;
  readonly #container: string;
  readonly #options: ExecOptions;
  #started: Promise<Started> | undefined;
  #isRead = false;

  constructor(access: EngineAccess, container: string, command: string | readonly string[], options: ExecOptions) {
    this.#access = access;
    this.#container = container;
    this.#options = options;
    this.command = commandWords(command);
    this.stdin = new Stdin(async () => (await this.#start()).session);
  }

  #start(): Promise<Started> {
    this.#started ??= this.#open();
    return this.#started;
  }

  async #open(): Promise<Started> {
    const { env, cwd, user, input, stdin, tty = false, privileged, signal } = this.#options;
    const { exec } = this.#access.within(signal);
    const { Id: id } = await exec.create(this.#container, {
      AttachStdin: stdin === true || input !== undefined,
      AttachStdout: true,
      AttachStderr: !tty,
      Tty: tty,
      Cmd: this.command,
      ...(env === undefined ? {} : { Env: envWords(env) }),
      ...(cwd === undefined ? {} : { WorkingDir: cwd }),
      ...(user === undefined ? {} : { User: user }),
      ...(privileged === undefined ? {} : { Privileged: privileged }),
    });
    const session = await exec.start(id, { Detach: false, Tty: tty }, { signal });
    if (session === null) throw new DhowError("internal", `start exec ${id}: the engine detached from it`);
    return { id, session };
  }

  async #exitCode(id: string): Promise<number> {
    const { signal } = this.#options;
    for (;;) {
      const { exec } = this.#access.within(signal);
      const { Running, ExitCode } = await exec.inspect(id);
      if (!Running) return ExitCode ?? 0;
      // an engine may close the output a moment before it notes the end
      await sleep(EXIT_POLL_MS, undefined, { signal });
    }
  }

  async *#events(): AsyncGenerator<ExecEvent> {
    if (this.#isRead) throw new DhowError("invalid", `read the output of ${JSON.stringify(this.command.join(" "))}: it has been read`);
    this.#isRead = true;
    const { input, signal } = this.#options;
    const { id, session } = await this.#start();
    let failure: unknown;
    const feed = async (): Promise<void> => {
      if (input === undefined) return;
      try {
        await this.stdin.write(input);
        session.closeStdin();
      } catch (error) {
        failure = error;
        session.close();
      }
    };
    const feeding = feed();
    try {
      yield* outputEvents(session.output);
    } finally {
      session.close();
    }
    signal?.throwIfAborted();
    if (failure !== undefined) throw failure;
    // a command may end without having read everything
    feeding.catch(() => {});
    yield { kind: "exit", exitCode: await this.#exitCode(id) };
  }

  /** Output as it comes, then the exit code; leaving the loop early leaves the command to itself. */
  [Symbol.asyncIterator](): AsyncIterator<ExecEvent> {
    return this.#events();
  }

  async #collect(): Promise<{ readonly exitCode: number; readonly stdout: Uint8Array; readonly stderr: Uint8Array }> {
    const pieces: Record<"stdout" | "stderr", Uint8Array[]> = { stdout: [], stderr: [] };
    let exitCode = 0;
    for await (const event of this) {
      if (event.kind === "exit") exitCode = event.exitCode;
      else pieces[event.kind].push(event.data);
    }
    return { exitCode, stdout: concat(pieces.stdout), stderr: concat(pieces.stderr) };
  }

  /** Runs it to its end, whatever the exit code. */
  async result(): Promise<ExecResult> {
    const { exitCode, stdout, stderr } = await this.#collect();
    const decoder = new TextDecoder();
    return { exitCode, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
  }

  /** Runs it to its end. Returns the exit code. */
  async exitCode(): Promise<number> {
    let exitCode = 0;
    for await (const event of this) if (event.kind === "exit") exitCode = event.exitCode;
    return exitCode;
  }

  /** What it wrote to stdout. @throws {ExecError} for another exit code than 0 */
  async bytes(): Promise<Uint8Array> {
    const { exitCode, stdout, stderr } = await this.#collect();
    if (exitCode === 0) return stdout;
    const decoder = new TextDecoder();
    throw new ExecError(this.command, { exitCode, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) });
  }

  /** What it wrote to stdout, as text. @throws {ExecError} for another exit code than 0 */
  async text(): Promise<string> {
    return new TextDecoder().decode(await this.bytes());
  }

  /** What it wrote to stdout, parsed; the type is the caller's claim. @throws {ExecError} for another exit code than 0 */
  async json<T = unknown>(): Promise<T> {
    return JSON.parse(await this.text()) as T;
  }

  /** The lines of its stdout as they come. @throws {ExecError} at the end, for another exit code than 0 */
  async *lines(): AsyncGenerator<string> {
    let exitCode = 0;
    const stderr: string[] = [];
    const events = this.#events();
    async function* stdout(): AsyncGenerator<OutputEvent> {
      for await (const event of events) {
        if (event.kind === "exit") exitCode = event.exitCode;
        else if (event.kind === "stderr") stderr.push(event.text);
        else yield event;
      }
    }
    yield* linesOf(stdout());
    if (exitCode !== 0) throw new ExecError(this.command, { exitCode, stdout: "", stderr: stderr.join("") });
  }
}
