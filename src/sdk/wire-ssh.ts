import { type ChildProcessByStdio, spawn } from "node:child_process";
import { Socket } from "node:net";
import type { Readable, Writable } from "node:stream";
import { DhowError, errnoCode, errorMessage } from "../lib/mod.ts";
import type { SshAddress } from "./address.ts";
import type { Wire, WireEvents } from "./wire.ts";
import { writeTo } from "./wire-node.ts";

/** As much of what ssh says is kept for the error. */
const STDERR_BYTES = 4096;

/** Makes one word of `text` for a Bourne shell. */
function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** What the other host is asked to run: dhow's own bridge, docker's where there is no dhow. */
function remoteCommand(path: string): string {
  const dial = `${path === "" ? "" : `--host ${shellWord(`unix://${path}`)} `}system dial-stdio`;
  const script = `if command -v dhow >/dev/null 2>&1; then exec dhow ${dial}; fi; exec docker ${dial}`;
  // the login's shell may be no Bourne shell
  return `sh -c ${shellWord(script)}`;
}

/** The command line that reaches an engine. */
export function sshCommand({ user, host, port, path }: SshAddress): readonly string[] {
  const login = user === "" ? [] : ["-l", user];
  return ["ssh", ...login, ...(port === "" ? [] : ["-p", port]), "-o", "ConnectTimeout=30", "-T", "--", host, remoteCommand(path)];
}

/** A child's two pipes as one connection. */
class SshWire implements Wire {
  readonly #command: readonly string[];
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  #stderr = "";
  #isOver = false;

  constructor(command: readonly string[], child: ChildProcessByStdio<Writable, Readable, Readable>, events: WireEvents) {
    this.#command = command;
    this.#child = child;
    child.stderr.on("data", (chunk: Buffer) => {
      this.#stderr = (this.#stderr + chunk.toString()).slice(-STDERR_BYTES);
    });
    child.stdout.on("data", (chunk: Uint8Array) => events.data(chunk));
    // a broken pipe is told by the end of the child
    child.stdin.on("error", () => {});
    child.on("close", (code, signal) => {
      const isFailure = !this.#isOver && code !== 0;
      this.#isOver = true;
      events.end(isFailure ? this.#failure(code, signal) : undefined);
    });
  }

  /** In docker's words. */
  #failure(code: number | null, signal: string | null): DhowError {
    const how = code === null ? `signal: ${signal}` : `exit status ${code}`;
    const advice = "make sure the URL is valid, and dhow or Docker 18.09 or later is installed on the remote host";
    return new DhowError(
      "unavailable",
      `error during connect: command [${this.#command.join(" ")}] has exited with ${how}, ${advice}: stderr=${this.#stderr}`,
    );
  }

  get isOpen(): boolean {
    return !this.#isOver;
  }

  write(data: Uint8Array | string): Promise<void> {
    return writeTo(this.#child.stdin, data);
  }

  end(): void {
    this.#child.stdin.end();
  }

  destroy(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#child.stdin.destroy();
    this.#child.stdout.destroy();
    this.#child.kill("SIGTERM");
  }

  pause(): void {
    this.#child.stdout.pause();
  }

  resume(): void {
    this.#child.stdout.resume();
  }

  ref(): void {
    this.#child.ref();
    for (const pipe of this.#pipes()) pipe.ref();
  }

  unref(): void {
    this.#child.unref();
    for (const pipe of this.#pipes()) pipe.unref();
  }

  /** A child's pipes are sockets. */
  #pipes(): readonly Socket[] {
    const { stdin, stdout, stderr } = this.#child;
    return [stdin, stdout, stderr].filter((pipe) => pipe instanceof Socket);
  }
}

/** Runs ssh; its pipes are the connection. @throws unavailable when there is no ssh */
export function connectSsh(address: SshAddress, events: WireEvents): Promise<Wire> {
  const command = sshCommand(address);
  const [file = "", ...args] = command;
  return new Promise((resolve, reject) => {
    // a session of its own: a Ctrl-C that is meant for the container must not end the connection to it
    const child = spawn(file, args, { stdio: ["pipe", "pipe", "pipe"], detached: true });
    const wire = new SshWire(command, child, events);
    child.once("error", (cause) => {
      const what = errnoCode(cause) === "ENOENT" ? `exec: "${file}": executable file not found in $PATH` : errorMessage(cause);
      reject(new DhowError("unavailable", `error during connect: ${what}`, { cause }));
    });
    child.once("spawn", () => resolve(wire));
  });
}
