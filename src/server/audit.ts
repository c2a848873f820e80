import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { errorMessage, formatTime, isKind, nowNs } from "../lib/mod.ts";
import { type PeerCredentials, peerCredentials } from "../linux/mod.ts";
import type { AuditRecord } from "../spec/engine/mod.ts";
import { httpStatus } from "./errors.ts";
import type { HijackReply, Reply } from "./reply.ts";

const NOBODY: PeerCredentials = { pid: 0, uid: -1, gid: -1 };

/** Tells of requests: who asked for what, and whether it was allowed. Nothing of bodies, queries and headers. */
export class Audit {
  readonly #tell: (record: AuditRecord) => void;
  readonly #peers = new WeakMap<object, PeerCredentials>();
  readonly #told = new WeakSet<IncomingMessage>();

  constructor(tell: (record: AuditRecord) => void) {
    this.#tell = tell;
  }

  /** By now the other end may be gone, and its number another's: the kernel knows who it was when it connected. */
  readonly onConnection = (socket: Socket): void => {
    const fd = (socket as { readonly _handle?: { readonly fd?: number } | null })._handle?.fd;
    if (fd !== undefined && fd >= 0) this.#peers.set(socket, peerCredentials(fd));
  };

  /** `object` is what the path names. */
  answered(incoming: IncomingMessage, path: string, object: string, reply: Reply | HijackReply): void {
    this.#record(incoming, path, { status: statusOf(reply), object: object || idOf(reply), allowed: true });
  }

  /** What fails after its answer had begun was told already. */
  failed(incoming: IncomingMessage, path: string, error: unknown): void {
    const isRefused = isKind(error, "forbidden");
    this.#record(incoming, path, {
      status: httpStatus(error),
      object: "",
      allowed: !isRefused,
      ...(isRefused && { why: errorMessage(error) }),
    });
  }

  #record(
    incoming: IncomingMessage,
    path: string,
    { object, status, ...rest }: { readonly status: number; readonly object: string; readonly allowed: boolean; readonly why?: string },
  ): void {
    if (this.#told.has(incoming)) return;
    this.#told.add(incoming);
    const { pid, uid, gid } = this.#peers.get(incoming.socket) ?? NOBODY;
    const time = formatTime(nowNs());
    const { method = "" } = incoming;
    this.#tell({ time, pid, uid, gid, method, path, status, ...(object !== "" && { object }), ...rest });
  }
}

function statusOf(reply: Reply | HijackReply): number {
  if (!("kind" in reply)) return 101;
  return "status" in reply ? reply.status : 200;
}

/** The id of what was made. */
function idOf(reply: Reply | HijackReply): string {
  if (!("kind" in reply) || reply.kind !== "json" || reply.status !== 201) return "";
  const { Id, Name } = (reply.body ?? {}) as { readonly Id?: string; readonly Name?: string };
  return Id ?? Name ?? "";
}
