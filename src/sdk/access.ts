import type { EngineApi } from "../spec/engine/mod.ts";

/** Ends a call. The engine may go on with what it had begun. */
export interface SignalOption {
  readonly signal?: AbortSignal | undefined;
}

/** How the objects of this room reach their engine, be it behind a socket or in this process. */
export interface EngineAccess {
  /** Its interfaces; every call fails with the signal's reason once that is aborted. */
  within(signal: AbortSignal | undefined): EngineApi;
  /** The name of the machine on which published ports are reached. */
  readonly hostname: string;
  /** Gives the connections up, or ends the engine that runs in this process. */
  close(): Promise<void>;
}
