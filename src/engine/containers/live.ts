import { join } from "node:path";
import type { Logger } from "../../lib/mod.ts";
import type { Reactor } from "../../linux/mod.ts";
import { type BufferPool, type ClockNs, ContainerIo, createLogDriver, type OomWatch, type Task } from "../../runtime/mod.ts";
import type { MemoryAtOom, SentSignal } from "./container.ts";
import type { HealthMonitor } from "./health.ts";
import type { Container } from "./store.ts";

/** What of a container exists in this process only: its streams, and its process while it has one. */
export interface Live {
  readonly io: ContainerIo;
  task: Task | undefined;
  oom: OomWatch | undefined;
  health: HealthMonitor | undefined;
  /** Of this run; kept with its end. */
  lastSignal: SentSignal | undefined;
  memoryAtOom: MemoryAtOom | undefined;
  /** Gives up the start that is under way. */
  starting: AbortController | undefined;
  /** The wait before the restart policy starts it again. */
  restartTimer: ReturnType<typeof setTimeout> | undefined;
  lastDelayMs: number;
  /** Gives back what the last run held, once; set while that is still to be done. */
  release: (() => void) | undefined;
  /** A restart is under way: the end of the process is not the end of a `--rm` container. */
  isRestarting: boolean;
  /** Its processes are being frozen; a SIGKILL that comes meanwhile says no to that. */
  isPausing: boolean;
  readonly execIds: Set<string>;
  /** The streams of its execs that run. */
  readonly execIos: Set<ContainerIo>;
}

export interface LiveDeps {
  readonly dataRoot: string;
  readonly execRoot: string;
  readonly reactor: Reactor;
  readonly buffers: BufferPool;
  readonly clock: ClockNs;
  readonly log: Logger;
}

/** The live parts of containers, made when first asked for. */
export class LiveContainers {
  readonly #deps: LiveDeps;
  readonly #byId = new Map<string, Live>();

  constructor(deps: LiveDeps) {
    this.#deps = deps;
  }

  /** @throws invalid for log options that are none */
  of(container: Container): Live {
    const known = this.#byId.get(container.id);
    if (known) return known;
    const live: Live = {
      io: this.#io(container),
      task: undefined,
      oom: undefined,
      health: undefined,
      lastSignal: undefined,
      memoryAtOom: undefined,
      starting: undefined,
      restartTimer: undefined,
      lastDelayMs: 0,
      release: undefined,
      isRestarting: false,
      isPausing: false,
      execIds: new Set(),
      execIos: new Set(),
    };
    this.#byId.set(container.id, live);
    return live;
  }

  all(): Iterable<Live> {
    return this.#byId.values();
  }

  /** The live part if there is one. */
  peek(id: string): Live | undefined {
    return this.#byId.get(id);
  }

  forget(id: string): void {
    this.#byId.delete(id);
  }

  #io(container: Container): ContainerIo {
    const { id, spec } = container;
    const { config, hostConfig } = spec;
    const { reactor, buffers, clock, log, dataRoot, execRoot } = this.#deps;
    const subject = () => ({
      id,
      name: container.name,
      imageId: spec.imageId,
      imageName: spec.image,
      command: [spec.path, ...spec.args],
      created: spec.created,
      labels: config.Labels ?? {},
      env: config.Env ?? [],
    });
    const containerDir = join(dataRoot, "containers", id);
    return new ContainerIo({
      tty: config.Tty ?? false,
      openStdin: config.OpenStdin ?? false,
      stdinOnce: config.StdinOnce ?? false,
      driver: createLogDriver(hostConfig.LogConfig?.Type ?? "local", hostConfig.LogConfig?.Config ?? {}, subject, {
        containerDir,
        spoolDir: join(execRoot, "logs", id),
        clock,
        log,
      }),
      reactor,
      buffers,
      log,
    });
  }
}
