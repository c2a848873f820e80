import { existsSync } from "node:fs";
import { join } from "node:path";
import { DhowError, type Logger } from "../../lib/mod.ts";
import type { OutputChunk } from "../../spec/engine/mod.ts";
import type { LogDriver, LogMark, LogReadOptions, LogWriter, RemoteEnd } from "./driver.ts";
import type { LocalLog } from "./local.ts";
import type { QueueLimit } from "./message-queue.ts";
import type { LogReceiver } from "./receiver.ts";
import { SendPosition } from "./send-position.ts";
import { Shipper } from "./shipper.ts";

/** What a container in blocking mode may be ahead of the sender before it waits. */
const AHEAD_BYTES = 512 * 1024;

/** What happens to output that comes faster than it can be sent. */
export type Overflow =
  /** The container waits. */
  | { readonly kind: "wait" }
  /** It stays in the local log as long as that keeps it. */
  | { readonly kind: "keep" }
  /** Messages are dropped when so many wait already. */
  | { readonly kind: "drop"; readonly above: QueueLimit };

export interface RemoteLogOptions {
  readonly name: string;
  /** Where output goes first: what is sent is read from there, and so does `docker logs` unless `canRead` is false. */
  readonly store: LocalLog;
  /** The store's directory. */
  readonly dir: string;
  readonly canRead: boolean;
  /** Made when it is needed: its options name files that may be missing. @throws invalid */
  readonly createReceiver: () => LogReceiver;
  readonly overflow: Overflow;
  readonly log: Logger;
}

/**
 * A driver that sends the log elsewhere. Output goes into a local log as with the `local` driver, byte for byte by splice(2); what is
 * there is sent from there. So the container never meets the network, a daemon that is killed goes on where it was, and `docker logs`
 * has something to read (docker's "dual logging").
 *
 * In blocking mode the container waits once the sender is half a MiB behind a receiver that is slow. A receiver that is not there
 * at all holds up nothing, unless it is one that docker waits for, too: messages stay in the local log as long as that keeps them.
 */
export class RemoteLog implements LogDriver {
  readonly name: string;
  readonly canRead: boolean;
  readonly path = "";
  readonly remote: RemoteEnd;
  readonly #options: RemoteLogOptions;
  #receiver: LogReceiver | undefined;
  #shipper: Shipper | undefined;
  #onRoom: (() => void) | undefined;
  #isOpen = false;
  /** How many of the log's bytes were read to be sent. */
  #read = 0;
  #isWaiting = false;
  readonly #idle = new Set<() => void>();

  constructor(options: RemoteLogOptions) {
    this.#options = options;
    this.name = options.name;
    this.canRead = options.canRead;
    this.remote = {
      resume: () => this.#resume(),
      release: () => this.#release(),
      finish: (timeoutMs) => this.#finish(timeoutMs),
    };
  }

  open(onRoom: () => void): LogWriter {
    const store = this.#options.store;
    const writer = store.open();
    this.#onRoom = onRoom;
    this.#isOpen = true;
    const shipper = this.#ship();
    shipper.wake();
    const isFull = (): boolean => this.#isFull(shipper);
    return {
      pump: (pipe, stream, length, into) => writer.pump(pipe, stream, length, into),
      append: (stream, data) => writer.append(stream, data),
      finish: (pipe, stream) => writer.finish(pipe, stream),
      get isFull() {
        return isFull();
      },
      close: () => {
        const mark = store.mark();
        if (mark !== undefined) shipper.endRun(mark);
        this.#isOpen = false;
        this.#onRoom = undefined;
        writer.close();
      },
    };
  }

  mark(): LogMark | undefined {
    return this.#options.store.mark();
  }

  /** @throws unsupported when the local log is not for reading */
  read(options: LogReadOptions, before?: LogMark): AsyncIterable<OutputChunk> {
    if (!this.canRead) throw new DhowError("unsupported", "configured logging driver does not support reading");
    return this.#options.store.read(options, before);
  }

  clear(): void {
    if (!this.canRead) throw new DhowError("unsupported", "configured logging driver keeps no logs");
    this.#options.store.clear();
  }

  sizeBytes(): number {
    return this.#options.store.sizeBytes();
  }

  async prepare(): Promise<void> {
    this.#options.store.prepare();
    // one that sends is connected, or tries to be
    if (this.#shipper?.isIdle === false) return;
    this.#receiver?.close();
    // made anew: the container may have another name now
    const receiver = this.#options.createReceiver();
    this.#receiver = receiver;
    if (receiver.isCheckedAtStart) await receiver.connect(new AbortController().signal);
  }

  #resume(): void {
    if (this.#shipper === undefined && existsSync(this.#options.dir)) this.#ship().wake();
  }

  #release(): void {
    if (!this.#isOpen && this.#shipper?.isIdle !== false) this.#receiver?.close();
  }

  async #finish(timeoutMs: number): Promise<void> {
    const shipper = this.#shipper;
    if (shipper === undefined) return this.#receiver?.close();
    if (!shipper.isIdle) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#idle.add(resolve);
      const timer = setTimeout(resolve, timeoutMs);
      await promise;
      clearTimeout(timer);
      this.#idle.delete(resolve);
    }
    await shipper.stop();
  }

  #ship(): Shipper {
    if (this.#shipper !== undefined) return this.#shipper;
    const { store, dir, overflow, log } = this.#options;
    const receiver = (): LogReceiver => (this.#receiver ??= this.#options.createReceiver());
    // what waits for a slow receiver stays; when the receiver has gone, the local log's limits count
    const isStrict = (): boolean => overflow.kind === "wait" && (receiver().isRequired || this.#shipper?.isDown === false);
    const shipper = new Shipper({
      source: store.source({ isStrict }),
      receiver,
      position: new SendPosition(join(dir, "sent")),
      dropAbove: overflow.kind === "drop" ? overflow.above : undefined,
      onRead: (bytes) => this.#onRead(bytes),
      onCaughtUp: () => {
        // also what was deleted before it was read
        this.#onRead(this.#unread);
      },
      onIdle: () => {
        for (const resolve of this.#idle) resolve();
        this.#release();
      },
      log,
    });
    this.#shipper = shipper;
    return shipper;
  }

  get #unread(): number {
    return this.#options.store.writtenBytes - this.#read;
  }

  #isFull(shipper: Shipper): boolean {
    if (this.#options.overflow.kind !== "wait" || (shipper.isDown && this.#receiver?.isRequired !== true)) return false;
    this.#isWaiting = this.#unread > AHEAD_BYTES;
    return this.#isWaiting;
  }

  #onRead(bytes: number): void {
    // what an earlier daemon left was never counted
    this.#read = Math.min(this.#options.store.writtenBytes, this.#read + bytes);
    if (!this.#isWaiting) return;
    if (this.#unread > AHEAD_BYTES / 2 && this.#shipper?.isDown !== true) return;
    this.#isWaiting = false;
    this.#onRoom?.();
  }
}
