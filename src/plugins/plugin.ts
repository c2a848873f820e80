import { setTimeout as sleep } from "node:timers/promises";
import { DhowError, errnoCode, errorMessage } from "../lib/mod.ts";
import type { PluginAddress } from "./spec-file.ts";

/** The media type that says the protocol's version. */
const MEDIA_TYPE = "application/vnd.docker.plugins.v1.2+json";
/** Calls to one plug-in that are under way at a time. */
const MAX_CALLS = 32;
const FIRST_RETRY_MS = 100;
/** Who refuses connections for longer isn't just starting. */
const RETRIES_MS = 5000;
/** Nobody listens, or nobody yet. */
const NOT_CONNECTED: ReadonlySet<string> = new Set(["ConnectionRefused", "FailedToOpenSocket", "ECONNREFUSED", "ENOENT", "EAGAIN"]);

/** How to call. */
export interface CallOptions {
  /** How long the plug-in has, connecting and waiting for its turn included. */
  readonly timeoutMs?: number;
  /** False: a plug-in that nobody listens for is given up at once. */
  readonly retry?: boolean;
  readonly signal?: AbortSignal;
}

/** A process that speaks docker's plug-in protocol. */
export class Plugin {
  readonly name: string;
  readonly #address: PluginAddress;
  readonly #timeoutMs: number;
  #implements: ReadonlySet<string> = new Set();
  #calls = 0;
  readonly #turns: (() => void)[] = [];

  constructor(name: string, address: PluginAddress, timeoutMs: number) {
    this.name = name;
    this.#address = address;
    this.#timeoutMs = timeoutMs;
  }

  /** Whether the plug-in said that it is one of that kind: `VolumeDriver`, `NetworkDriver`, … */
  has(kind: string): boolean {
    return this.#implements.has(kind);
  }

  /** Shakes hands. @throws what `call` throws */
  async activate(options: CallOptions = {}): Promise<void> {
    const { Implements } = await this.call("Plugin.Activate", undefined, options);
    this.#implements = new Set(Array.isArray(Implements) ? Implements.filter((kind) => typeof kind === "string") : []);
  }

  /**
   * Posts `body` to `method` (`VolumeDriver.Create`) and returns the answer, an object whose fields nobody has checked.
   * @throws internal `METHOD: TEXT` for an answer that is none, the plug-in's own text where it says one (`details.status` where it answered at all), unavailable when nobody answers in time
   */
  async call(method: string, body: unknown, options: CallOptions = {}): Promise<Readonly<Record<string, unknown>>> {
    const timeoutMs = options.timeoutMs ?? this.#timeoutMs;
    const deadline = AbortSignal.timeout(timeoutMs);
    const signal = options.signal === undefined ? deadline : AbortSignal.any([deadline, options.signal]);
    try {
      const { status, text } = await this.#inTurn(signal, () => this.#post(method, body, { signal, retry: options.retry ?? true }));
      return decode(method, status, text);
    } catch (cause) {
      if (cause instanceof DhowError) throw cause;
      if (!deadline.aborted)
        throw new DhowError("internal", `${method}: call plugin ${quote(this.name)}: ${errorMessage(cause)}`, { cause });
      const late = `plugin ${quote(this.name)} did not answer within ${timeoutMs / 1000} s (--plugin-timeout)`;
      throw new DhowError("unavailable", `${method}: ${late}`, { cause });
    }
  }

  async #inTurn<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    if (this.#calls >= MAX_CALLS) await this.#turn(signal);
    else this.#calls += 1;
    try {
      return await work();
    } finally {
      const next = this.#turns.shift();
      // its turn is handed on
      if (next) next();
      else this.#calls -= 1;
    }
  }

  #turn(signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const give = (): void => {
      signal.removeEventListener("abort", giveUp);
      resolve();
    };
    const giveUp = (): void => {
      this.#turns.splice(this.#turns.indexOf(give), 1);
      reject(signal.reason);
    };
    signal.throwIfAborted();
    signal.addEventListener("abort", giveUp, { once: true });
    this.#turns.push(give);
    return promise;
  }

  async #post(method: string, body: unknown, { signal, retry }: { readonly signal: AbortSignal; readonly retry: boolean }) {
    const giveUpAt = performance.now() + (retry ? RETRIES_MS : 0);
    const { url, socket, tls } = this.#address;
    for (let waitMs = FIRST_RETRY_MS; ; waitMs *= 2) {
      try {
        const answer = await fetch(`${url}/${method}`, {
          method: "POST",
          headers: { Accept: MEDIA_TYPE, "Content-Type": MEDIA_TYPE },
          body: body === undefined ? null : JSON.stringify(body),
          signal,
          keepalive: false,
          redirect: "manual",
          ...(socket === undefined ? {} : { unix: socket }),
          ...(tls === undefined ? {} : { tls }),
        });
        return { status: answer.status, text: await answer.text() };
      } catch (error) {
        if (!NOT_CONNECTED.has(errnoCode(error) ?? "") || performance.now() + waitMs > giveUpAt) throw error;
        await sleep(waitMs, undefined, { signal });
      }
    }
  }
}

const quote = (name: string): string => JSON.stringify(name);

/** What a plug-in says. Go's decoder, which plug-ins are made for, reads one value and leaves what follows alone; `null` is an answer without fields. */
function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  const value = parse(text) ?? parse(text.slice(0, text.indexOf("\n") + 1));
  if (value === undefined || Array.isArray(value.json) || typeof value.json !== "object") return undefined;
  return (value.json ?? {}) as Record<string, unknown>;
}

function parse(text: string): { readonly json: unknown } | undefined {
  try {
    return { json: JSON.parse(text) };
  } catch {
    return undefined;
  }
}

/** @throws internal in docker's words: with the method's name unless the status is 200 */
function decode(method: string, status: number, text: string): Readonly<Record<string, unknown>> {
  const value = parseObject(text);
  const said = typeof value?.["Err"] === "string" ? value["Err"] : "";
  if (status !== 200) throw new DhowError("internal", `${method}: ${said === "" ? text.trim() : said}`, { details: { status } });
  if (value === undefined) throw new DhowError("internal", `${method}: the plugin's answer is not a JSON object`, { details: { status } });
  if (said !== "") throw new DhowError("internal", said, { details: { status } });
  return value;
}
