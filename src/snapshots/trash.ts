import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, renameSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { type Defect, errnoCode, type Logger } from "../lib/mod.ts";
import { MNT_DETACH, readMountInfo, umount } from "../linux/mod.ts";

/** Deleting starts this long after the last removal: the removal's own answer, and a start right behind it, go first. */
const DELAY_MS = 20;

/**
 * A directory that is always being emptied: what is thrown in has gone from its place at once, by a rename, and is deleted
 * off the main thread, one thing after another. What a crash left in it is deleted after `resume`.
 */
export class Trash {
  readonly #dir: string;
  readonly #log: Logger;
  readonly #waiting: string[] = [];
  /** Being deleted right now. */
  #current: string | undefined;
  #running: Promise<void> | undefined;

  /** @param dir on the same file system as what will be thrown in */
  constructor(dir: string, log: Logger) {
    this.#dir = dir;
    this.#log = log;
    mkdirSync(dir, { recursive: true, mode: 0o700 });
  }

  /** Takes `path` away; nothing there is fine. Works on a full disk. @throws what rename(2) says */
  throwIn(path: string): void {
    const name = randomBytes(8).toString("hex");
    try {
      renameSync(path, join(this.#dir, name));
    } catch (error) {
      if (errnoCode(error) === "ENOENT") return;
      throw error;
    }
    this.#add(name);
  }

  /** Deletes what an earlier process left; unmounts first what is still mounted in it. */
  resume(): void {
    for (const { mend } of this.defects()) void mend();
  }

  /** What lies here and is not about to be deleted. */
  defects(): Defect[] {
    const isPending = (name: string): boolean => name === this.#current || this.#waiting.includes(name);
    const names = readdirSync(this.#dir).filter((name) => !isPending(name));
    return names.map((name) => ({
      what: `${join(this.#dir, name)} was not deleted to the end`,
      mend: () => {
        if (isPending(name)) return;
        const within = (path: string): boolean => `${path}/`.startsWith(`${this.#dir}/${name}/`);
        for (const { mountPoint } of readMountInfo().reverse()) if (within(mountPoint)) umount(mountPoint, MNT_DETACH);
        this.#add(name);
      },
    }));
  }

  /** Waits until everything is deleted. */
  async drain(): Promise<void> {
    while (this.#running) await this.#running;
  }

  #add(name: string): void {
    this.#waiting.push(name);
    this.#running ??= this.#run();
  }

  async #run(): Promise<void> {
    await Bun.sleep(DELAY_MS);
    for (let name = this.#waiting.shift(); name !== undefined; name = this.#waiting.shift()) {
      this.#current = name;
      try {
        await rm(join(this.#dir, name), { recursive: true, force: true });
      } catch (error) {
        this.#log.warn("delete removed snapshot failed", { path: join(this.#dir, name), error });
      }
    }
    this.#current = undefined;
    this.#running = undefined;
  }
}
