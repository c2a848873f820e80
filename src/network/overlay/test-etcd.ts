/** A real etcd for tests: Debian's etcd-server, with its data in a directory that goes with it. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { Etcd } from "./etcd.ts";

/** How to start one. */
export interface EtcdServerOptions {
  /** Where clients and, one port further, peers are listened for. */
  readonly address?: string;
  readonly port: number;
  /** A command line that etcd's is appended to. */
  readonly under?: readonly string[];
  /** More of etcd's arguments. */
  readonly args?: readonly string[];
  /** https with the files that `args` names. */
  readonly isTls?: boolean;
}

export class EtcdServer implements AsyncDisposable {
  readonly endpoint: string;
  readonly #dir = mkdtempSync(`${tmpdir()}/dhow-etcd-`);
  readonly #options: EtcdServerOptions;
  #process: Bun.Subprocess | undefined;

  constructor(options: EtcdServerOptions) {
    this.#options = options;
    this.endpoint = `${options.isTls ? "https" : "http"}://${options.address ?? "127.0.0.1"}:${options.port}`;
  }

  /** Starts it, again on what it had; it answers when this returns, to who can reach it. */
  start(): void {
    const { address = "127.0.0.1", port, under = [], args = [] } = this.#options;
    const peer = `http://${address}:${port + 1}`;
    const own = ["--data-dir", `${this.#dir}/data`, "--name", "one", "--logger", "zap", "--log-level", "error"];
    const urls = ["--listen-client-urls", this.endpoint, "--advertise-client-urls", this.endpoint, "--listen-peer-urls", peer];
    const cluster = ["--initial-advertise-peer-urls", peer, "--initial-cluster", `one=${peer}`];
    this.#process = Bun.spawn([...under, "etcd", ...own, ...urls, ...cluster, ...args], {
      stdin: "ignore",
      stdout: "ignore",
      stderr: "ignore",
      env: { ...process.env, ETCD_UNSUPPORTED_ARCH: process.arch },
    });
  }

  /** Waits until it answers this process. */
  async ready(client: Etcd = new Etcd({ endpoints: [this.endpoint] })): Promise<Etcd> {
    for (let tries = 0; ; tries++) {
      try {
        await client.get("/");
        return client;
      } catch (error) {
        if (tries > 200) throw error;
        await Bun.sleep(50);
      }
    }
  }

  async kill(): Promise<void> {
    this.#process?.kill("SIGKILL");
    await this.#process?.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    rmSync(this.#dir, { recursive: true, force: true });
  }
}
