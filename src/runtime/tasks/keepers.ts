import type { Fd } from "../../linux/mod.ts";
import { startKeeper } from "./console.ts";
import { BUNDLE, endProcess, openRecorded } from "./holder.ts";

/** The processes that keep terminals open, one for each bundle directory that has a terminal. */
export class Keepers {
  readonly #keepers = new Map<string, Fd>();

  start(dir: string, master: Fd): void {
    this.#keepers.set(dir, startKeeper(dir, master.fd));
  }

  /** Ends the one of a bundle, also one that an earlier daemon started; none: nothing. */
  end(dir: string): void {
    // one that was started just now has no command line yet by which it could be known
    const pidfd = this.#keepers.get(dir) ?? openRecorded(dir, BUNDLE.keeper)?.pidfd;
    this.#keepers.delete(dir);
    if (pidfd === undefined) return;
    endProcess(pidfd.fd);
    pidfd.close();
  }
}
