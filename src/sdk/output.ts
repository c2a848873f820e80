import type { OutputChunk } from "../spec/engine/mod.ts";
import { concat } from "./bytes.ts";

/** A piece of a process's output. `text` never holds half a character: what is missing comes with the next piece. */
export interface OutputEvent {
  readonly kind: "stdout" | "stderr";
  readonly data: Uint8Array;
  readonly text: string;
}

/** The engine's chunks as events that the receiver may keep. */
export async function* outputEvents(chunks: AsyncIterable<OutputChunk>): AsyncGenerator<OutputEvent> {
  const decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
  for await (const { stream, data } of chunks) {
    yield { kind: stream, data: new Uint8Array(data), text: decoders[stream].decode(data, { stream: true }) };
  }
}

/** Lines of text without their ends, `\n` or `\r\n`; stdout and stderr don't mix within a line. */
export async function* linesOf(events: AsyncIterable<OutputEvent>): AsyncGenerator<string> {
  const rest = { stdout: "", stderr: "" };
  for await (const { kind, text } of events) {
    const lines = (rest[kind] + text).split("\n");
    rest[kind] = lines.pop() ?? "";
    for (const line of lines) yield line.replace(/\r$/, "");
  }
  for (const line of [rest.stdout, rest.stderr]) if (line !== "") yield line;
}

/** Output of a container: events as they come, or all of it. It is asked for when it is read, and again with every reading. */
export class Output implements AsyncIterable<OutputEvent> {
  readonly #open: () => AsyncIterable<OutputEvent>;

  constructor(open: () => AsyncIterable<OutputEvent>) {
    this.#open = open;
  }

  [Symbol.asyncIterator](): AsyncIterator<OutputEvent> {
    return this.#open()[Symbol.asyncIterator]();
  }

  /** Lines of stdout and stderr as they come. */
  lines(): AsyncIterable<string> {
    return linesOf(this);
  }

  /** stdout and stderr in the order in which they came. */
  async text(): Promise<string> {
    return new TextDecoder().decode(await this.bytes());
  }

  /** stdout and stderr in the order in which they came. */
  async bytes(): Promise<Uint8Array> {
    const pieces: Uint8Array[] = [];
    for await (const { data } of this) pieces.push(data);
    return concat(pieces);
  }
}
