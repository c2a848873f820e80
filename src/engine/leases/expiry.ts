import { isKind, type Logger } from "../../lib/mod.ts";
import { LEASE_LABEL } from "../../spec/engine/mod.ts";
import type { EngineEvent, EventHub } from "../events.ts";
import { Alarm } from "./alarm.ts";
import { deadlineOf, type Labels, type LeaseBook, ttlOf } from "./book.ts";
import type { Reapable } from "./reap.ts";

/** An object in use, and one that could not be removed for another reason, is tried again after this. */
const RETRY_MS = 10_000;

export interface ExpiryDeps {
  readonly book: LeaseBook;
  readonly engine: Reapable;
  readonly events: EventHub;
  readonly log: Logger;
}

interface Mortal {
  readonly type: "container" | "volume";
  readonly id: string;
  /** RFC 3339 */
  readonly created: string;
  readonly labels: Labels;
}

/**
 * Removes containers and volumes whose own time (`dhow.ttl`) is over, and those that were made while their lease was ending.
 * There is one alarm per object that has a time, and nothing for all others.
 */
export class Expiry {
  readonly #deps: ExpiryDeps;
  readonly #alarms = new Map<string, Alarm>();
  #unsubscribe: (() => void) | undefined;

  constructor(deps: ExpiryDeps) {
    this.#deps = deps;
  }

  /** At the daemon's start, when everything is recovered. */
  async start(): Promise<void> {
    const { engine, events } = this.#deps;
    this.#unsubscribe = events.subscribe((event) => this.#onEvent(event));
    for (const { Id = "", Created = 0, Labels } of await engine.containers.list({ all: true, limit: 0, size: false, filters: {} })) {
      this.#expect({ type: "container", id: Id, created: new Date(Created * 1000).toISOString(), labels: Labels });
    }
    for (const { Name = "", CreatedAt = "", Labels } of (await engine.volumes.list({})).Volumes ?? []) {
      this.#expect({ type: "volume", id: Name, created: CreatedAt, labels: Labels });
    }
  }

  stop(): void {
    this.#unsubscribe?.();
    for (const alarm of this.#alarms.values()) alarm[Symbol.dispose]();
    this.#alarms.clear();
  }

  #onEvent({ type, action, id, attributes }: EngineEvent): void {
    if (type !== "container" && type !== "volume") return;
    if (action === "destroy") this.#forget(`${type} ${id}`);
    if (action !== "create") return;
    if (type === "container") this.#expect({ type, id, created: new Date().toISOString(), labels: attributes });
    else void this.#expectVolume(id);
  }

  async #expectVolume(id: string): Promise<void> {
    try {
      const { CreatedAt = "", Labels } = await this.#deps.engine.volumes.inspect(id);
      this.#expect({ type: "volume", id, created: CreatedAt, labels: Labels });
    } catch (error) {
      if (!isKind(error, "notFound")) this.#deps.log.warn("volume's time could not be read", { volume: id, error });
    }
  }

  #expect(object: Mortal): void {
    const lease = object.labels?.[LEASE_LABEL];
    if (lease !== undefined && !this.#deps.book.isInForce(lease)) {
      this.#removeAt(object, Date.now());
      return;
    }
    try {
      const ttlMs = ttlOf(object.labels);
      if (ttlMs !== undefined) this.#removeAt(object, deadlineOf(object.created, ttlMs));
    } catch {
      // made by a daemon that did not know the label
    }
  }

  #removeAt(object: Mortal, atMs: number): void {
    const key = `${object.type} ${object.id}`;
    this.#forget(key);
    this.#alarms.set(key, new Alarm(atMs, () => void this.#remove(object)));
  }

  #forget(key: string): void {
    this.#alarms.get(key)?.[Symbol.dispose]();
    this.#alarms.delete(key);
  }

  async #remove(object: Mortal): Promise<void> {
    const { engine, log } = this.#deps;
    const { type, id } = object;
    try {
      if (type === "container") await engine.containers.remove(id, { force: true, volumes: true, link: false });
      else await engine.volumes.remove(id, { force: false });
      log.info("removed, its time is over", { [type]: id });
    } catch (error) {
      if (isKind(error, "notFound")) return;
      // a volume that is in use goes with its last container
      if (!isKind(error, "conflict")) log.warn("could not be removed, though its time is over", { [type]: id, error });
      this.#removeAt(object, Date.now() + RETRY_MS);
    }
  }
}
