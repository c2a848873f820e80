import type { AttachOptions, AttachSession, EngineApi } from "../../spec/engine/mod.ts";
import { demultiplex, rawOutput } from "../frames.ts";
import { jsonLines } from "../ndjson.ts";
import { minor, seconds, segment, target } from "../query.ts";
import { attachSession } from "../session.ts";
import type { Transport } from "../transport.ts";

/** From here on the content type of output says whether it is multiplexed. */
const MULTIPLEXED_TYPE_SINCE = 42;

/** What is known about a stream before it is opened; without it the client asks the engine where the answer doesn't say. */
export interface TtyHint {
  readonly tty?: boolean | undefined;
}

/** Output, input and figures of running containers. */
export class Streams {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Whether a container's output is raw: by the answer's content type, by the hint, else by asking the engine. */
  async #isTty(ref: string, hint: boolean | undefined, contentType: string | undefined): Promise<boolean> {
    if (contentType === "application/vnd.docker.multiplexed-stream") return false;
    if (hint !== undefined) return hint;
    if (minor(await this.#transport.version()) >= MULTIPLEXED_TYPE_SINCE) return true;
    const { Config } = await this.#transport.get<{ Config: { Tty: boolean } }>(`/containers/${segment(ref, "container")}/json`);
    return Config.Tty;
  }

  async attach(ref: string, options: AttachOptions & TtyHint): Promise<AttachSession> {
    const { logs, stream, stdin, stdout, stderr, detachKeys, signal } = options;
    const response = await this.#transport.call({
      method: "POST",
      target: target(`/containers/${segment(ref, "container")}/attach`, { detachKeys, logs, stdin, stdout, stderr, stream }),
      headers: { "Content-Type": "text/plain" },
      upgrade: true,
      signal,
    });
    return attachSession(response, await this.#isTty(ref, options.tty, response.headers["content-type"]));
  }

  async logs(
    ref: string,
    options: Parameters<EngineApi["streams"]["logs"]>[1] & TtyHint,
  ): Promise<Awaited<ReturnType<EngineApi["streams"]["logs"]>>> {
    const { follow, stdout, stderr, timestamps, details, sinceNs, untilNs, tail } = options;
    const query = {
      follow,
      stdout,
      stderr,
      timestamps,
      details,
      since: sinceNs > 0n ? seconds(sinceNs) : undefined,
      until: untilNs > 0n ? seconds(untilNs) : undefined,
      tail: tail < 0 ? undefined : String(tail),
    };
    const response = await this.#transport.call({
      method: "GET",
      target: target(`/containers/${segment(ref, "container")}/logs`, query),
      signal: options.signal,
    });
    const tty = await this.#isTty(ref, options.tty, response.headers["content-type"]);
    return { tty, output: tty ? rawOutput(response.body) : demultiplex(response.body) };
  }

  clearLogs(ref: string): Promise<void> {
    return this.#transport.send("POST", `/containers/${segment(ref, "container")}/logs/clear`);
  }

  resize(ref: string, { rows, columns }: { readonly rows: number; readonly columns: number }): Promise<void> {
    return this.#transport.send("POST", `/containers/${segment(ref, "container")}/resize`, { h: rows, w: columns });
  }

  top: EngineApi["streams"]["top"] = (ref, psArgs) =>
    this.#transport.get(`/containers/${segment(ref, "container")}/top`, { ps_args: psArgs });

  stats: EngineApi["streams"]["stats"] = async (ref, { stream, oneShot, signal }) => {
    const query = { stream: stream ? "1" : "0", "one-shot": oneShot ? "1" : undefined };
    const response = await this.#transport.call({
      method: "GET",
      target: target(`/containers/${segment(ref, "container")}/stats`, query),
      signal,
    });
    return jsonLines(response.body);
  };
}
