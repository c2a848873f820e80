import type { Logger } from "../../lib/mod.ts";
import {
  EPOLLIN,
  type Fd,
  isErrno,
  pidfdExitStatus,
  pidfdOpen,
  pidfdSendSignal,
  type Reactor,
  type Watch,
  zombieExitCode,
} from "../../linux/mod.ts";
import { ControlChannel, endGroup, endProcess } from "./holder.ts";
import type { ContainerIo } from "./io.ts";

const SIGKILL = 9;
export const KILLED_EXIT_CODE = 137;

/** Docker's shim takes its container along, too. */
const RUNTIME_KILLED = (): TaskExit => ({
  exitCode: KILLED_EXIT_CODE,
  exitedAt: new Date(),
  error: "the container's runtime was killed",
});

/** How a task ended. */
export interface TaskExit {
  /** 0 to 255, 128 + signal. */
  readonly exitCode: number;
  readonly exitedAt: Date;
  /** Set when the runtime itself was killed and the code is a guess. */
  readonly error?: string | undefined;
}

export interface TaskOptions {
  readonly id: string;
  readonly io: ContainerIo;
  readonly reactor: Reactor;
  readonly log: Logger;
  readonly holder: Fd;
  readonly holderPid: number;
  readonly control: number;
  /** For a runtime whose pid file is polled: what is in it now. */
  readonly pidNow?: (() => number | undefined) | undefined;
  /** How long the runtime may take to clean up behind a process that has ended, before it is ended itself; undefined = for ever. */
  readonly patienceMs: number | undefined;
  /** Called before what is left of a start that has failed is ended. */
  readonly onFailed: () => void;
  /** Called at the end of the runtime when it left its state behind. */
  readonly onLeftOver: () => Promise<void>;
}

/** A container's process, from its start to the end of the runtime that started it. */
export class Task {
  readonly id: string;
  /** The time of the start; of the adoption's evidence when adopted. */
  startedAt = new Date();
  /** Resolves when the process has ended; the runtime may still be cleaning up. */
  readonly exited: Promise<TaskExit>;
  /** Resolves when the runtime has ended too: its state and the cgroup are gone. Output may still wait for slow clients: see `ContainerIo.drained`. */
  readonly gone: Promise<void>;
  readonly #options: TaskOptions;
  readonly #exited = Promise.withResolvers<TaskExit>();
  readonly #gone = Promise.withResolvers<void>();
  readonly #started = Promise.withResolvers<number>();
  readonly #control: ControlChannel;
  #holderWatch: Watch | undefined;
  #initWatch: Watch | undefined;
  #init: Fd | undefined;
  #pid = 0;
  #hasExited = false;
  #isGone = false;
  /** Of a process whose end is not told before its runtime's. */
  #lastExitCode: number | undefined;
  #cleaning: ReturnType<typeof setTimeout> | undefined;

  constructor(options: TaskOptions) {
    this.#options = options;
    this.id = options.id;
    this.exited = this.#exited.promise;
    this.gone = this.#gone.promise;
    // a start that fails is reported by whoever waits for it
    this.#started.promise.catch(() => {});
    this.#control = new ControlChannel(options.reactor, options.control, {
      onPid: (pid) => this.#onPid(pid),
      onExit: (exitCode) => this.#onRuntimeExit(exitCode),
    });
    this.#holderWatch = options.reactor.watch(options.holder.fd, EPOLLIN, () => this.#onHolderDeath());
  }

  /** Pid of the container's init on the host; 0 before it runs. */
  get pid(): number {
    return this.#pid;
  }

  get isRunning(): boolean {
    return this.#pid > 0 && !this.#hasExited;
  }

  /** Resolves with the pid once the process runs; rejects with the runtime's exit code when it never did. */
  get started(): Promise<number> {
    return this.#started.promise;
  }

  /** For adoption: the pid is known from elsewhere. */
  assumePid(pid: number): void {
    if (this.#pid === 0) this.#onPid(pid);
  }

  /** Sends a signal to the container's init. Returns false when it has ended. @throws {SysError} */
  signal(signo: number): boolean {
    if (this.#init === undefined || this.#hasExited) return false;
    try {
      pidfdSendSignal(this.#init.fd, signo);
      return true;
    } catch (error) {
      if (isErrno(error, "ESRCH")) return false;
      throw error;
    }
  }

  /** Ends a start that is given up: holder, runtime, and the process if it runs. Whoever waits for the start gets `reason`. */
  abandon(reason: unknown = KILLED_EXIT_CODE): void {
    this.#failStart(reason);
    this.signal(SIGKILL);
    this.#endRuntime();
  }

  #failStart(reason: unknown): void {
    this.#options.onFailed();
    this.#started.reject(reason);
  }

  #endRuntime(): void {
    const { holder, holderPid } = this.#options;
    endGroup({ pid: holderPid, pidfd: holder.fd });
  }

  #onPid(pid: number): void {
    if (this.#pid !== 0) return;
    this.#pid = pid;
    this.startedAt = new Date();
    try {
      this.#init = pidfdOpen(pid);
      const { fd } = this.#init;
      this.#initWatch = this.#options.reactor.watch(fd, EPOLLIN, () => this.#onInitExit(fd));
    } catch (error) {
      // it was quicker: the exit code comes over the control FIFO
      if (!isErrno(error, "ESRCH")) this.#options.log.warn("container's process can't be watched", { container: this.id, error });
    }
    this.#started.resolve(pid);
  }

  /** A pidfd is readable from the end of the process on; the exit status is there once the runtime has reaped it. */
  #onInitExit(pidfd: number): void {
    // a zombie's status is not in its pidfd yet, and a runtime that hangs never reaps it
    const exitCode = pidfdExitStatus(pidfd) ?? zombieExitCode(this.#pid);
    if (this.#options.pidNow !== undefined) {
      // such a runtime passes the output on: it is not all there before the runtime has ended
      this.#lastExitCode = exitCode;
      this.#unwatchInit();
      this.#limitCleaning();
      return;
    }
    if (exitCode !== undefined) this.#finish({ exitCode, exitedAt: new Date() });
    else this.#initWatch?.modify(0);
    if (exitCode !== undefined || this.#hasExited) this.#unwatchInit();
  }

  #unwatchInit(): void {
    this.#initWatch?.[Symbol.dispose]();
    this.#initWatch = undefined;
  }

  #onRuntimeExit(exitCode: number): void {
    const late = this.#pid === 0 ? this.#options.pidNow?.() : undefined;
    if (late !== undefined) this.#onPid(late);
    if (this.#isOrphaned()) {
      this.#options.log.warn("container lost its runtime", { container: this.id });
      this.signal(SIGKILL);
      this.#finish(RUNTIME_KILLED());
      this.#removeLeftOver();
      return;
    }
    if (this.#pid === 0) this.#failStart(exitCode);
    else this.#finish({ exitCode, exitedAt: new Date() });
    this.#onGone();
  }

  #onHolderDeath(): void {
    this.#holderWatch?.[Symbol.dispose]();
    this.#holderWatch = undefined;
    if (this.#isGone) return;
    // somebody killed the holder: without it nobody cleans up, and docker's shim would take its container along, too
    this.#options.log.warn("container lost its runtime", { container: this.id });
    this.signal(SIGKILL);
    if (this.#pid === 0) this.#failStart(KILLED_EXIT_CODE);
    else if (this.#lastExitCode !== undefined) this.#finish({ exitCode: this.#lastExitCode, exitedAt: new Date() });
    else this.#finish(RUNTIME_KILLED());
    this.#removeLeftOver();
  }

  #removeLeftOver(): void {
    this.#options
      .onLeftOver()
      .catch((error: unknown) => this.#options.log.warn("container's state could not be removed", { container: this.id, error }))
      .finally(() => this.#onGone());
  }

  /** A runtime that ended by itself has reaped its process. */
  #isOrphaned(): boolean {
    return this.signal(0) && zombieExitCode(this.#pid) === undefined;
  }

  #finish(exit: TaskExit): void {
    if (this.#hasExited) return;
    this.#hasExited = true;
    this.#unwatchInit();
    this.#exited.resolve(exit);
    this.#limitCleaning();
  }

  /** Ends a runtime that takes too long behind its process. */
  #limitCleaning(): void {
    const { patienceMs } = this.#options;
    if (patienceMs === undefined || this.#holderWatch === undefined) return;
    clearTimeout(this.#cleaning);
    this.#cleaning = setTimeout(() => {
      this.#options.log.warn("the runtime does not end after its container, and is ended", { container: this.id });
      this.#endRuntime();
    }, patienceMs);
    this.#cleaning.unref();
  }

  #onGone(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    clearTimeout(this.#cleaning);
    this.#control[Symbol.dispose]();
    this.#unwatchInit();
    this.#init?.close();
    this.#init = undefined;
    this.#gone.resolve();
    // the holder keeps the pipes until everything in them is in the log
    void this.#options.io.drain().then(() => this.#letGo());
  }

  #letGo(): void {
    this.#holderWatch?.[Symbol.dispose]();
    this.#holderWatch = undefined;
    endProcess(this.#options.holder.fd);
    this.#options.holder.close();
  }
}
