/** A scoped socket in a test: its clients. */
import type { Daemon, Finished } from "../daemon.ts";

export interface Refusal {
  readonly status: number;
  readonly message: string;
}

/** What comes by one scoped socket of a daemon. */
export class Scoped {
  readonly path: string;
  readonly #daemon: Daemon;

  private constructor(daemon: Daemon, path: string) {
    this.#daemon = daemon;
    this.path = path;
  }

  static async create(daemon: Daemon, request: { readonly Name: string } & Record<string, unknown>): Promise<Scoped> {
    const { status, text, json } = await daemon.api<{ readonly Path: string }>("POST", "/sockets", request);
    if (status !== 201) throw new Error(`POST /sockets: ${status} ${text}`);
    return new Scoped(daemon, json.Path);
  }

  /** Runs a docker command to its end. */
  docker(...args: readonly string[]): Promise<Finished> {
    return this.#daemon.dockerWith({ env: { DOCKER_HOST: `unix://${this.path}` } }, ...args);
  }

  /** Runs a docker command that has to succeed. Returns what it printed on stdout, without the white space around it. */
  async ok(...args: readonly string[]): Promise<string> {
    const { stdout, stderr, exitCode } = await this.docker(...args);
    if (exitCode !== 0) throw new Error(`docker ${args.join(" ")}: exit code ${exitCode}: ${stderr}${stdout}`);
    return stdout.trim();
  }

  /** Calls the engine; an object as body is sent as JSON. */
  async api(method: string, path: string, body?: unknown, socket = this.path): Promise<Refusal & { readonly json: unknown }> {
    const response = await fetch(`http://localhost${path}`, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } }),
      unix: socket,
    });
    const text = await response.text();
    const json: unknown = text === "" ? undefined : JSON.parse(text);
    return { status: response.status, message: (json as { message?: string } | undefined)?.message ?? "", json };
  }

  /** Tries to make a container. */
  create(
    config: Readonly<Record<string, unknown>>,
    host: Readonly<Record<string, unknown>> = {},
  ): Promise<Refusal & { readonly json: unknown }> {
    return this.api("POST", "/containers/create", { Image: "busybox", ...config, HostConfig: host });
  }
}
