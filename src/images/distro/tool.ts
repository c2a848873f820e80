import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { createInterface } from "node:readline";
import { DhowError } from "../../lib/mod.ts";

/** The path of a program on PATH (and in the system's usual places), or undefined. */
export function findProgram(name: string): string | undefined {
  const directories = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"];
  return directories
    .filter(Boolean)
    .map((directory) => join(directory, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

export interface ToolOptions {
  readonly environment: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly signal: AbortSignal;
  /** Receives every line of standard error, and of standard output when that is not the result. */
  readonly onLine: (line: string) => void;
}

/** As much of what a tool said last goes into the error. */
const LINES_KEPT = 12;
const TERM_GRACE_MS = 10_000;

/** A running tool, head of its own process group: ending it ends what it started. */
export class Tool implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #name: string;
  readonly #last: string[] = [];
  readonly #exit: Promise<{ readonly code: number | null; readonly signal: string | null }>;
  readonly #signal: AbortSignal;
  readonly #onAbort = (): void => this.#kill("SIGTERM");

  constructor(command: readonly string[], options: ToolOptions) {
    const [program = "", ...args] = command;
    this.#name = program.split("/").at(-1) ?? program;
    this.#signal = options.signal;
    this.#child = spawn(program, args, {
      cwd: options.cwd,
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
      env: { PATH: process.env["PATH"] ?? "", ...options.environment, LC_ALL: "C.UTF-8" },
    });
    this.#exit = new Promise((resolve, reject) => {
      this.#child.once("error", reject);
      this.#child.once("close", (code, signal) => resolve({ code, signal }));
    });
    this.#exit.catch(() => {});
    if (this.#child.stderr) {
      createInterface({ input: this.#child.stderr }).on("line", (line) => {
        this.#last.push(line);
        if (this.#last.length > LINES_KEPT) this.#last.shift();
        options.onLine(line);
      });
    }
    options.signal.addEventListener("abort", this.#onAbort, { once: true });
    if (options.signal.aborted) this.#onAbort();
  }

  #kill(signal: NodeJS.Signals): void {
    const { pid } = this.#child;
    if (pid === undefined || this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    try {
      process.kill(-pid, signal);
    } catch {
      // it has just ended
    }
  }

  /** Waits for the end. @throws internal with the tool's last lines when it failed; the signal's reason when it was cancelled */
  async done(): Promise<void> {
    const { code, signal } = await this.#exit;
    if (code === 0) return;
    this.#signal.throwIfAborted();
    const said = this.#last.filter((line) => /^E:|error|fail/i.test(line)).slice(-3);
    const detail = (said.length > 0 ? said : this.#last.slice(-3)).join("; ");
    throw new DhowError("internal", `${this.#name} failed (${signal ?? `exit code ${code}`})${detail === "" ? "" : `: ${detail}`}`);
  }

  /** Standard output; ends only when the tool has ended well. @throws as `done` */
  async *output(): AsyncGenerator<Uint8Array> {
    if (this.#child.stdout) for await (const chunk of this.#child.stdout) yield chunk as Uint8Array;
    await this.done();
  }

  /** Ends the tool's process group if it still runs, and waits until it has. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#signal.removeEventListener("abort", this.#onAbort);
    this.#child.stdout?.destroy();
    this.#kill("SIGTERM");
    const timer = setTimeout(() => this.#kill("SIGKILL"), TERM_GRACE_MS);
    await this.#exit.catch(() => {});
    clearTimeout(timer);
  }
}

/** Runs a tool to its end. @throws as Tool.done */
export async function runTool(command: readonly string[], options: ToolOptions): Promise<string> {
  await using tool = new Tool(command, options);
  const chunks: Uint8Array[] = [];
  for await (const chunk of tool.output()) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}
