import { humanSize } from "../lib/mod.ts";
import type { ProgressMessage } from "../spec/engine/mod.ts";
import type { Output } from "./terminal/output.ts";

const DEFAULT_COLUMNS = 200;
const NARROW_COLUMNS = 110;
const BAR_CELLS = 50;

type Detail = NonNullable<ProgressMessage["progressDetail"]>;

/** `[====>     ]  1.2MB/3.4MB`, as docker draws it. */
export function progressBar({ current = 0, total = 0, units }: Detail, columns: number): string {
  if (current <= 0 && total <= 0) return "";
  const shown = (n: number) => (units ? `${n} ${units}` : humanSize(n));
  if (total <= 0) return shown(current).padStart(8);
  const isOver = current > total;
  let bar = "";
  if (columns > NARROW_COLUMNS) {
    const filled = Math.min(BAR_CELLS, Math.trunc((current / total) * 100) >> 1);
    bar = `[${"=".repeat(filled)}>${" ".repeat(BAR_CELLS - filled)}] `;
  }
  const numbers = units ? `${current}/${total} ${units}` : `${shown(current).padStart(8)}/${shown(total)}`;
  return `${bar}${isOver ? shown(current).padStart(8) : numbers}`;
}

/** Draws messages: one line per id that moves in place on a terminal, plain lines elsewhere. */
class ProgressView {
  readonly #out: Output;
  readonly #columns: number;
  readonly #lines = new Map<string, number>();

  constructor(out: Output) {
    this.#out = out;
    this.#columns = out.size?.columns ?? DEFAULT_COLUMNS;
  }

  show(message: ProgressMessage): void {
    const { id, status, stream, progressDetail } = message;
    if (stream !== undefined) {
      this.#lines.clear();
      this.#out.write(stream);
      return;
    }
    const bar = progressDetail ? progressBar(progressDetail, this.#columns) : "";
    if (!this.#out.isTerminal) {
      if (bar === "") this.#out.write(`${id ? `${id}: ` : ""}${status ?? ""}\n`);
      return;
    }
    const text = `${id ? `${id}: ` : ""}${status ?? ""}${bar === "" ? "" : ` ${bar}`}`;
    if (id === undefined || id === "" || (progressDetail === undefined && !this.#lines.has(id))) {
      this.#lines.clear();
      this.#out.write(`\x1b[2K\r${text}\n`);
      return;
    }
    this.#inPlace(id, text);
  }

  #inPlace(id: string, text: string): void {
    let line = this.#lines.get(id);
    if (line === undefined) {
      line = this.#lines.size;
      this.#lines.set(id, line);
      this.#out.write("\n");
    }
    const up = this.#lines.size - line;
    this.#out.write(`\x1b[${up}A\x1b[2K\r${text}\r\x1b[${up}B`);
  }
}

/** Shows a progress stream on `out` (nowhere when undefined). @throws Error with the stream's own error */
export async function showProgress(
  out: Output | undefined,
  messages: AsyncIterable<ProgressMessage>,
  onAux?: (aux: unknown) => void,
): Promise<void> {
  const view = out === undefined ? undefined : new ProgressView(out);
  for await (const message of messages) {
    const failure = message.errorDetail?.message ?? message.error;
    if (failure !== undefined) throw new Error(failure);
    if (message.aux !== undefined) onAux?.(message.aux);
    else view?.show(message);
  }
}
