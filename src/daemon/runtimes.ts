/** The OCI runtimes that containers may have. */
import { join } from "node:path";
import { DhowError, type Logger } from "../lib/mod.ts";
import type { OciRuntime } from "../runtime/mod.ts";
import type { DaemonConfig } from "./config.ts";
import { readOnlyCopy } from "./namespace.ts";

type RuntimeTable = Readonly<Record<string, OciRuntime>>;

const KNOWN = ["crun", "runc", "youki", "runsc"];

/** Runtimes by name: those that are installed and those that the settings name. */
export class Runtimes {
  /** Also those that are no longer offered: a container keeps its own. */
  readonly all: Record<string, OciRuntime> = {};
  #offered: RuntimeTable = {};
  /** That of the start: it is mounted once. */
  readonly #crun: OciRuntime | undefined;

  /** @throws invalid without the default runtime */
  constructor(config: DaemonConfig, log: Logger) {
    this.#crun = mountedCrun(config, log);
    this.offer(this.find(config));
    if (this.#offered[config.defaultRuntime]) return;
    const name = JSON.stringify(config.defaultRuntime);
    throw new DhowError("invalid", `the default runtime ${name} is not there: install it, or name another by --default-runtime`);
  }

  /** What new containers may have. */
  get offered(): RuntimeTable {
    return this.#offered;
  }

  /** The runtimes under these settings. */
  find(config: DaemonConfig): RuntimeTable {
    const found: Record<string, OciRuntime> = {};
    for (const name of KNOWN) {
      const path = Bun.which(name);
      if (path !== null) found[name] = { path };
    }
    for (const [name, { path, runtimeArgs }] of Object.entries(config.runtimes)) found[name] = { path, args: runtimeArgs };
    if (this.#crun !== undefined) found["crun"] = this.#crun;
    return found;
  }

  offer(runtimes: RuntimeTable): void {
    this.#offered = runtimes;
    Object.assign(this.all, runtimes);
  }
}

/** crun runs from a read-only mount, which spares it the copy of itself that it makes at every start otherwise. */
function mountedCrun({ runtimes, execRoot }: DaemonConfig, log: Logger): OciRuntime | undefined {
  const own = runtimes["crun"];
  const path = own?.path ?? Bun.which("crun");
  if (path === null) return undefined;
  const crun: OciRuntime = own === undefined ? { path } : { path, args: own.runtimeArgs };
  try {
    return { ...crun, path: readOnlyCopy(path, join(execRoot, "bin", "crun")) };
  } catch (error) {
    log.warn("crun can't be mounted read-only; it starts more slowly", { error });
    return crun;
  }
}
