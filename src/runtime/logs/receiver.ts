import { errorMessage } from "../../lib/mod.ts";
import type { LogMessage } from "./message.ts";

/** Where a log is sent. It is not used by two at a time. */
export interface LogReceiver {
  /** Makes a connection, when it needs one and has none. @throws in the words of docker's dial errors */
  connect(signal: AbortSignal): Promise<void>;
  /**
   * Sends messages in their order, and resolves when all are out of this process, or acknowledged where the protocol can do that.
   * Connects when there is no connection. @throws when one was lost: then any of the messages may have arrived or not
   */
  send(messages: readonly LogMessage[], signal: AbortSignal): Promise<void>;
  /** Ends the connection; `send` makes a new one. */
  close(): void;
  /** How long to wait before messages are tried again after so many failures in a row; undefined to give them up. */
  retryDelayMs(failures: number): number | undefined;
  /** Whether a container in blocking mode waits also for a receiver that is not there (and not only for a slow one). */
  readonly isRequired: boolean;
  /** Whether a start fails when the receiver is not there. */
  readonly isCheckedAtStart: boolean;
}

const FIRST_RETRY_MS = 200;
const LAST_RETRY_MS = 5000;

/** At once, then after longer and longer times, for ever. */
export function retryForEver(failures: number): number {
  return failures <= 1 ? 0 : Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** (failures - 2));
}

/** Some of the messages were sent, one after the other, before sending failed. */
export class PartlySent extends Error {
  readonly sent: number;

  constructor(sent: number, cause: unknown) {
    super(errorMessage(cause), { cause });
    this.sent = sent;
  }
}
