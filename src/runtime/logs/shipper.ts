import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "../../lib/mod.ts";
import type { StdStream } from "../../spec/engine/mod.ts";
import { type LogMark, WHOLE_LOG } from "./driver.ts";
import type { StartPosition } from "./local-position.ts";
import { type LocalSource, type LogPiece, readPieces, type SegmentPin } from "./local-reader.ts";
import { type LogMessage, MessageCutter } from "./message.ts";
import { MessageQueue, type QueueLimit } from "./message-queue.ts";
import { type LogReceiver, PartlySent } from "./receiver.ts";
import type { SendPosition } from "./send-position.ts";

const QUEUE: QueueLimit = { bytes: 1024 * 1024, count: Number.POSITIVE_INFINITY };
const BATCH = { count: 1024, bytes: 128 * 1024 };
const RETRY_MS = 1000;
/** As often is it said that messages are lost. */
const WARN_EVERY_MS = 60_000;

export interface ShipperOptions {
  readonly source: LocalSource;
  /** Asked for again with each batch. */
  readonly receiver: () => LogReceiver;
  readonly position: SendPosition;
  /** What waits at most before messages are dropped; undefined when none is. */
  readonly dropAbove: QueueLimit | undefined;
  /** Called when bytes of the log were read. */
  readonly onRead: (bytes: number) => void;
  /** Called when there is nothing more to read at the moment. */
  readonly onCaughtUp: () => void;
  /** Called when everything was sent and nobody writes. */
  readonly onIdle: () => void;
  readonly log: Logger;
}

/**
 * Sends a log on its way to a receiver: reads what is in the segments, cuts it into messages and hands them over in their order. What
 * was sent is noted when the receiver has it, so that the next daemon goes on there.
 */
export class Shipper {
  readonly #options: ShipperOptions;
  readonly #queue: MessageQueue;
  readonly #cutter = new MessageCutter();
  readonly #abort = new AbortController();
  readonly #pin: SegmentPin;
  #runEnds: LogMark[] = [];
  #seenEnd: LogMark | undefined;
  #isAwake = false;
  /** Where reading goes on. */
  #read: StartPosition;
  #done: Promise<void> | undefined;
  #isReading = false;
  #isSending = false;
  #wakeReader: (() => void) | undefined;
  #lost = 0;
  #warnedMs = 0;
  /** Whether the receiver can't be reached. */
  isDown = false;

  constructor(options: ShipperOptions) {
    this.#options = options;
    this.#queue = new MessageQueue(options.dropAbove ?? QUEUE);
    const { stdout, stderr } = options.position.start;
    this.#pin = options.source.pin();
    this.#read = options.position.start;
    this.#pin.segment = Math.min(stdout.segment || stderr.segment, stderr.segment || stdout.segment);
  }

  /** Whether nothing is on its way. */
  get isIdle(): boolean {
    return !this.#isReading && !this.#isSending && this.#queue.isEmpty;
  }

  /** A writer opened the log, or there is something to send: reads on. */
  wake(): void {
    this.#isReading = true;
    this.#isAwake = true;
    this.#done ??= Promise.all([this.#readAll(), this.#sendAll()]).then(() => {});
    this.#wakeReader?.();
  }

  /** The log's writer closed, at this place: an unfinished line ends here. */
  endRun(mark: LogMark): void {
    this.#runEnds.push(mark);
  }

  /** Stops, whatever is still to be sent. */
  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#done;
    this.#pin[Symbol.dispose]();
    this.#options.receiver().close();
  }

  async #readAll(): Promise<void> {
    const { source, log } = this.#options;
    const { signal } = this.#abort;
    const options = { ...WHOLE_LOG, timestamps: true, follow: true, signal };
    // segments are kept by what was sent, not by what was read
    const reader = { segment: 0, isStrict: () => false, [Symbol.dispose]: () => {} };
    while (!signal.aborted) {
      this.#isAwake = false;
      try {
        for await (const piece of readPieces(source, reader, options, { start: this.#read })) {
          if (piece === undefined) this.#options.onCaughtUp();
          else await this.#takePiece(piece);
        }
        for (const stream of ["stdout", "stderr"] as const) await this.#flush(stream);
        this.#forgetRunEnds();
        await this.#pause();
      } catch (error) {
        log.error("a log can't be read to be sent", { error });
        await sleep(RETRY_MS, undefined, { signal }).catch(() => {});
      }
    }
  }

  /** Waits for the next run. */
  async #pause(): Promise<void> {
    const { signal } = this.#abort;
    const end = await this.#options.source.end();
    const seen = this.#seenEnd;
    this.#seenEnd = end;
    const isNew = seen === undefined || end.segment !== seen.segment || end.stdout !== seen.stdout || end.stderr !== seen.stderr;
    if (isNew || this.#isAwake || signal.aborted) return;
    this.#isReading = false;
    this.#checkIdle();
    await new Promise<void>((resolve) => {
      this.#wakeReader = resolve;
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
    this.#wakeReader = undefined;
  }

  #forgetRunEnds(): void {
    const isAhead = (mark: LogMark, stream: StdStream): boolean => {
      const { segment, at } = this.#read[stream];
      return mark.segment > segment || (mark.segment === segment && mark[stream] > at);
    };
    this.#runEnds = this.#runEnds.filter((mark) => isAhead(mark, "stdout") || isAhead(mark, "stderr"));
  }

  async #takePiece(piece: LogPiece): Promise<void> {
    const { stream, segment, end, data } = piece;
    const current = Math.max(this.#read.stdout.segment, this.#read.stderr.segment);
    if (segment > current) {
      if (current > 0 && segment > current + 1) {
        this.#cutter.skip();
        this.#warn("log messages were deleted before they could be sent", { segments: segment - current - 1 });
      }
      // the other stream has nothing before this segment that was not read
      this.#read = { stdout: { segment, at: 0 }, stderr: { segment, at: 0 } };
    }
    this.#read = { ...this.#read, [stream]: { segment, at: end } };
    for (const message of this.#cutter.feed(stream, data, piece)) await this.#enqueue(message);
    this.#options.onRead(data.length);
    const isRunEnd = (mark: LogMark): boolean => mark.segment === segment && mark[stream] === end;
    if (this.#runEnds.some(isRunEnd)) await this.#flush(stream);
  }

  async #flush(stream: StdStream): Promise<void> {
    for (const message of this.#cutter.flush(stream)) await this.#enqueue(message);
  }

  async #enqueue(message: LogMessage): Promise<void> {
    while (!this.#queue.offer(message)) {
      if (this.#abort.signal.aborted) return;
      if (this.#options.dropAbove !== undefined) {
        this.#lost++;
        this.#warn("log messages are dropped, the receiver is too slow", { messages: this.#lost });
        return;
      }
      await this.#queue.room(this.#abort.signal);
    }
  }

  async #sendAll(): Promise<void> {
    const { position } = this.#options;
    const { signal } = this.#abort;
    for (;;) {
      const batch = await this.#queue.take(BATCH, signal);
      if (batch.length === 0) break;
      this.#isSending = true;
      const isSent = await this.#send(batch);
      if (signal.aborted && !isSent) break;
      for (const { stream, segment, end } of batch) position.advance(stream, segment, end);
      position.save();
      this.#pin.segment = batch.at(-1)?.segment ?? this.#pin.segment;
      this.#isSending = false;
      this.#checkIdle();
    }
    position[Symbol.dispose]();
  }

  /** Tries until the messages are sent; false when they are given up. */
  async #send(batch: readonly LogMessage[]): Promise<boolean> {
    const receiver = this.#options.receiver();
    const { signal } = this.#abort;
    let rest = batch;
    for (let failures = 1; ; failures++) {
      try {
        await receiver.send(rest, signal);
        this.isDown = false;
        return true;
      } catch (error) {
        if (signal.aborted) return false;
        receiver.close();
        if (error instanceof PartlySent) {
          rest = rest.slice(error.sent);
          if (error.sent > 0) failures = 1;
        }
        const delayMs = receiver.retryDelayMs(failures);
        // one failure is a connection that was lost, two are a receiver that is not there
        if (failures > 1) this.#noteDown();
        if (delayMs === undefined) {
          this.#lost += rest.length;
          this.#warn("log messages could not be sent and are dropped", { messages: this.#lost, error });
          return false;
        }
        if (failures > 1) this.#warn("log messages can't be sent, they are kept and tried again", { error });
        await sleep(delayMs, undefined, { signal }).catch(() => {});
      }
    }
  }

  #noteDown(): void {
    this.isDown = true;
    // a container that waits for a slow receiver need not wait for one that has gone
    this.#options.onRead(0);
  }

  #checkIdle(): void {
    if (this.isIdle) this.#options.onIdle();
  }

  #warn(message: string, fields: Readonly<Record<string, unknown>>): void {
    const now = performance.now();
    if (this.#warnedMs > 0 && now - this.#warnedMs < WARN_EVERY_MS) return;
    this.#warnedMs = now;
    this.#options.log.warn(message, fields);
  }
}
