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

/** An event with its time; no two of an engine have the same. */
export interface RecordedEvent extends EngineEvent {
  readonly timeNs: bigint;
}

/** Keeps events for those who ask later. */
export interface EventHistory {
  append(event: RecordedEvent): void;
  read(sinceNs: bigint, untilNs: bigint): AsyncIterable<RecordedEvent>;
}

function has(values: readonly string[] | undefined, test: (value: string) => boolean): boolean {
  return values === undefined || values.length === 0 || values.some(test);
}

function labelMatches(attributes: Readonly<Record<string, string>>, wanted: string): boolean {
  const at = wanted.indexOf("=");
  if (at < 0) return wanted in attributes;
  return attributes[wanted.slice(0, at)] === wanted.slice(at + 1);
}

/** Docker compares beginnings, and asks for no type: an object's own events are found, and all that goes by a name that begins so. */
function begins(event: EngineEvent, wanted: string): boolean {
  return event.id.startsWith(wanted) || (event.attributes["name"] ?? "").startsWith(wanted);
}

function imageMatches(event: EngineEvent, wanted: string): boolean {
  const name = event.type === "image" ? event.attributes["name"] : event.attributes["image"];
  const strip = (ref: string): string => ref.replace(/(:[^/:]+)?(@.*)?$/, "");
  return [event.id, name, strip(event.id), strip(name ?? "")].includes(wanted);
}

/** Events with details after a colon: who asks for one of these without them gets beginnings for all that he asks for. */
const WITH_DETAILS = ["health_status", "exec_create", "exec_start"];

function actionMatches({ action }: EngineEvent, wanted: readonly string[] | undefined): boolean {
  const isLoose = wanted?.some((value) => WITH_DETAILS.includes(value)) ?? false;
  return has(wanted, (value) => value === action || (isLoose && action.startsWith(value)));
}

/** Filters that name an object: of kinds that this engine doesn't have, too. */
const NAMING = ["container", "volume", "network", "daemon", "plugin", "service", "node", "secret", "config"];

/** Whether `event` passes `filters`: values of a key are alternatives, keys must all hold. */
export function eventMatches(event: EngineEvent, filters: Filters): boolean {
  return (
    has(filters["type"], (v) => v === event.type) &&
    actionMatches(event, filters["event"]) &&
    has(filters["scope"], (v) => v === "local") &&
    NAMING.every((key) => has(filters[key], (v) => begins(event, v))) &&
    has(filters["image"], (v) => imageMatches(event, v)) &&
    (filters["label"] ?? []).every((v) => labelMatches(event.attributes, v))
  );
}

/** By key, as Go encodes maps: clients print attributes as they come. */
function sorted(attributes: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(attributes).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function message(event: RecordedEvent): EventMessage {
  return {
    Type: event.type,
    Action: event.action,
    Actor: { ID: event.id, Attributes: sorted(event.attributes) },
    scope: "local",
    time: Number(event.timeNs / 1_000_000_000n),
    // A number of this size loses its last digits in JSON.parse, in every client that is written in JavaScript; Go's don't.
    timeNano: Number(event.timeNs),
  };
}

const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** What is published from now on, for one listener, until its time is over or it goes away. */
class LiveEvents implements Disposable {
  readonly #queue: RecordedEvent[] = [];
  readonly #signal: AbortSignal | undefined;
  readonly #timer: ReturnType<typeof setTimeout> | undefined;
  #isOver = false;
  #wake: () => void = () => {};

  constructor({ untilNs, signal }: EventsOptions) {
    this.#signal = signal;
    signal?.addEventListener("abort", this.#end);
    if (untilNs === undefined) return;
    const remainingMs = Number((untilNs - nowNs()) / 1_000_000n);
    if (remainingMs <= 0) this.#isOver = true;
    else this.#timer = setTimeout(this.#end, Math.min(remainingMs, LONGEST_TIMER_MS));
  }

  readonly #end = (): void => {
    this.#isOver = true;
    this.#wake();
  };

  readonly take = (event: RecordedEvent): void => {
    this.#queue.push(event);
    this.#wake();
  };

  async *events(): AsyncGenerator<RecordedEvent> {
    for (;;) {
      for (let next = this.#queue.shift(); next; next = this.#queue.shift()) yield next;
      if (this.#isOver || this.#signal?.aborted) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#signal?.removeEventListener("abort", this.#end);
  }
}

/** The engine's events: publishes to whoever listens, and keeps them for those who ask later. */
export class EventHub {
  readonly #history: EventHistory;
  readonly #listeners = new Set<(event: RecordedEvent) => void>();
  readonly #subscribers = new Set<(event: EngineEvent) => void>();
  #lastNs = nowNs();
  #published = 0;

  constructor(history: EventHistory) {
    this.#history = history;
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  /** How many events there were since the daemon's start. */
  get published(): number {
    return this.#published;
  }

  /** Publishes an event, now. */
  readonly emit: Emit = (event) => {
    const now = nowNs();
    // a clock that was set back must not mix the order up
    this.#lastNs = now > this.#lastNs ? now : this.#lastNs + 1n;
    const recorded: RecordedEvent = { ...event, timeNs: this.#lastNs };
    this.#history.append(recorded);
    this.#published++;
    for (const listener of this.#listeners) listener(recorded);
    for (const subscriber of this.#subscribers) subscriber(recorded);
  };

  /** Calls `listener` at each event, within `emit`. Returns how to stop that. */
  subscribe(listener: (event: EngineEvent) => void): () => void {
    this.#subscribers.add(listener);
    return () => void this.#subscribers.delete(listener);
  }

  /** Past events since `sinceNs`, or all before `untilNs` when only that is there, then live ones until `untilNs` or the signal. */
  async *stream(options: EventsOptions): AsyncGenerator<EventMessage> {
    const live = new LiveEvents(options);
    this.#listeners.add(live.take);
    try {
      // what is published from here on comes live
      const lastNs = this.#lastNs;
      const { sinceNs, untilNs } = options;
      if (sinceNs !== undefined || untilNs !== undefined) {
        const past = this.#history.read(sinceNs ?? 0n, untilNs !== undefined && untilNs < lastNs ? untilNs : lastNs);
        for await (const event of past) {
          if (options.signal?.aborted) return;
          if (eventMatches(event, options.filters)) yield message(event);
        }
      }
      for await (const event of live.events()) if (eventMatches(event, options.filters)) yield message(event);
    } finally {
      this.#listeners.delete(live.take);
      live[Symbol.dispose]();
    }
  }
}
