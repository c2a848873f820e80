import { nowNs } from "../lib/mod.ts";
import type { EventMessage, EventsOptions, Filters } from "../spec/engine/mod.ts";

export type EventType = "container" | "image" | "volume" | "network" | "daemon";

/** What happened to which object, in docker's terms. */
export interface EngineEvent {
  readonly type: EventType;
  readonly action: string;
  readonly id: string;
  readonly attributes: Readonly<Record<string, string>>;
}

export type Emit = (event: EngineEvent) => void;

interface Recorded extends EngineEvent {
  readonly timeNs: bigint;
}

/** Docker keeps as many past events for `--since`. */
const KEPT = 256;

function has(values: readonly string[] | undefined, test: (value: string) => boolean): boolean {
  return values === undefined || values.length === 0 || values.some(test);
}

function labelMatches(attributes: Readonly<Record<string, string>>, wanted: string): boolean {
  const at = wanted.indexOf("=");
  if (at < 0) return wanted in attributes;
  return attributes[wanted.slice(0, at)] === wanted.slice(at + 1);
}

function isObject(event: EngineEvent, type: EventType, wanted: string): boolean {
  return (
    event.type === type &&
    (event.id === wanted || event.attributes["name"] === wanted.replace(/^\//, "") || (wanted.length > 3 && event.id.startsWith(wanted)))
  );
}

function imageMatches(event: EngineEvent, wanted: string): boolean {
  const name = event.type === "image" ? event.attributes["name"] : event.attributes["image"];
  const strip = (ref: string): string => ref.replace(/(:[^/:]+)?(@.*)?$/, "");
  return event.id === wanted || name === wanted || (name !== undefined && strip(name) === wanted);
}

/** Whether `event` passes `filters`: values of a key are alternatives, keys must all hold. */
export function eventMatches(event: EngineEvent, filters: Filters): boolean {
  return (
    has(filters["type"], (v) => v === event.type) &&
    has(filters["event"], (v) => v === event.action || event.action.startsWith(`${v}: `) || event.action.split(":")[0] === v) &&
    has(filters["scope"], (v) => v === "local") &&
    has(filters["container"], (v) => isObject(event, "container", v)) &&
    has(filters["volume"], (v) => isObject(event, "volume", v)) &&
    has(filters["network"], (v) => isObject(event, "network", v)) &&
    has(filters["daemon"], (v) => isObject(event, "daemon", v)) &&
    has(filters["image"], (v) => imageMatches(event, v)) &&
    (filters["label"] ?? []).every((v) => labelMatches(event.attributes, v))
  );
}

function message(event: Recorded): EventMessage & Readonly<Record<string, unknown>> {
  const timed = {
    Type: event.type,
    Action: event.action,
    Actor: { ID: event.id, Attributes: event.attributes },
    scope: "local",
    time: Number(event.timeNs / 1_000_000_000n),
    // A number of this size loses its last digits in JSON.parse, in every client that is written in JavaScript; Go's don't.
    timeNano: Number(event.timeNs),
  };
  if (event.type !== "container" && event.type !== "image") return timed;
  const from = event.type === "container" ? event.attributes["image"] : undefined;
  return { status: event.action, id: event.id, ...(from === undefined ? {} : { from }), ...timed };
}

/** The engine's events: publishes to whoever listens, and keeps the last ones for those who ask later. */
export class EventHub {
  readonly #past: Recorded[] = [];
  readonly #listeners = new Set<(event: Recorded) => void>();

  get listeners(): number {
    return this.#listeners.size;
  }

  /** Publishes an event, now. */
  readonly emit: Emit = (event) => {
    const recorded: Recorded = { ...event, timeNs: nowNs() };
    this.#past.push(recorded);
    if (this.#past.length > KEPT) this.#past.shift();
    for (const listener of this.#listeners) listener(recorded);
  };

  /** Past events since `sinceNs`, then live ones until `untilNs` or the signal. */
  async *stream(options: EventsOptions): AsyncGenerator<EventMessage> {
    const queue: Recorded[] = [];
    let wake: () => void = () => {};
    const since = options.sinceNs;
    const until = options.untilNs;
    if (since !== undefined) queue.push(...this.#past.filter((e) => e.timeNs >= since && (until === undefined || e.timeNs <= until)));
    const listener = (event: Recorded): void => {
      queue.push(event);
      wake();
    };
    this.#listeners.add(listener);
    const stop = (): void => wake();
    options.signal?.addEventListener("abort", stop);
    const remainingMs = until === undefined ? undefined : Number((until - nowNs()) / 1_000_000n);
    let isOver = remainingMs !== undefined && remainingMs <= 0;
    const timer =
      remainingMs === undefined || isOver
        ? undefined
        : setTimeout(
            () => {
              isOver = true;
              wake();
            },
            Math.min(remainingMs, 2 ** 31 - 1),
          );
    try {
      for (;;) {
        for (let next = queue.shift(); next; next = queue.shift()) {
          if (eventMatches(next, options.filters)) yield message(next);
        }
        if (isOver || options.signal?.aborted) return;
        await new Promise<void>((resolve) => {
          wake = resolve;
          if (queue.length > 0 || isOver || options.signal?.aborted) resolve();
        });
      }
    } finally {
      clearTimeout(timer);
      options.signal?.removeEventListener("abort", stop);
      this.#listeners.delete(listener);
    }
  }
}
