import type { AttachSession, OutputChunk } from "../spec/engine/mod.ts";
import type { WebSocketUpgrade } from "./web-socket.ts";

/** Answers of handlers, as data; `respond.ts` and `hijack.ts` write them. */
export type Reply =
  | { readonly kind: "empty"; readonly status: number; readonly headers?: Readonly<Record<string, string>> }
  | { readonly kind: "json"; readonly status: number; readonly body: unknown }
  | { readonly kind: "text"; readonly status: number; readonly body: string; readonly headers?: Readonly<Record<string, string>> }
  /** Headers go out at once, the body when it is there. */
  | { readonly kind: "later"; readonly body: Promise<unknown> }
  /** Frames of a log, multiplexed or raw. */
  | { readonly kind: "output"; readonly contentType: string; readonly multiplexed: boolean; readonly output: AsyncIterable<OutputChunk> }
  /** One object per line, each sent at once. */
  | {
      readonly kind: "lines";
      readonly contentType: string;
      readonly lines: AsyncIterable<unknown>;
      readonly before?: string;
      readonly after: string;
      /** How a failure in the middle is told; without it the connection breaks. */
      readonly failure?: (error: unknown) => string;
    }
  | {
      readonly kind: "bytes";
      readonly contentType: string;
      readonly headers?: Readonly<Record<string, string>>;
      readonly chunks: AsyncIterable<Uint8Array>;
      readonly failure?: (error: unknown) => string;
    };

/** What a route that takes over the connection answers: a session, or that there is none (detached). */
export interface HijackReply {
  readonly session: AttachSession;
  readonly contentType: string;
  readonly multiplexed: boolean;
  readonly stdin: boolean;
  /** The connection goes on as a WebSocket's. */
  readonly webSocket?: WebSocketUpgrade;
}

export function json(body: unknown, status = 200): Reply {
  return { kind: "json", status, body };
}

export const noContent: Reply = { kind: "empty", status: 204 };

export const RAW_STREAM = "application/vnd.docker.raw-stream";
export const MULTIPLEXED_STREAM = "application/vnd.docker.multiplexed-stream";
