import { closeSync, openSync } from "node:fs";
import { DhowError } from "../../lib/mod.ts";
import { read, SPLICE_F_NONBLOCK, splice } from "../../linux/mod.ts";
import type { LogDriver, LogWriter } from "./driver.ts";

/** The `none` driver: output goes to attached clients only. */
export class NoLog implements LogDriver {
  readonly name: string;
  readonly canRead = false;
  readonly path = "";

  constructor(name = "none") {
    this.name = name;
  }

  prepare(): undefined {
    // there is nothing to check
  }

  open(): LogWriter {
    let sink = -1;
    return {
      pump: (pipe, _stream, length, into) => {
        if (into !== null) return read(pipe, into, Math.min(length, into.length));
        if (sink < 0) sink = openSync("/dev/null", "w");
        return splice(pipe, sink, null, length, SPLICE_F_NONBLOCK);
      },
      append: () => {},
      finish: () => {},
      isFull: false,
      close: () => {
        if (sink >= 0) closeSync(sink);
        sink = -1;
      },
    };
  }

  mark(): undefined {
    return undefined;
  }

  sizeBytes(): number {
    return 0;
  }

  /** @throws unsupported always */
  clear(): never {
    throw new DhowError("unsupported", "configured logging driver keeps no logs");
  }

  /** @throws unsupported always */
  read(): never {
    throw new DhowError("unsupported", "configured logging driver does not support reading");
  }
}
