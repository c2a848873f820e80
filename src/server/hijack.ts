import { STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { errorMessage, type Logger } from "../lib/mod.ts";
import type { AttachSession } from "../spec/engine/mod.ts";
import { errorBody, httpStatus, rawErrorResponse } from "./errors.ts";
import type { HijackReply } from "./reply.ts";
import { pumpOutput } from "./stream.ts";

/** How long a client may take to close its side after the last output. */
const LINGER_MS = 10_000;

/** Passes what the client sends to stdin, one chunk at a time; its FIN closes stdin. */
function pumpStdin(socket: Duplex, early: Uint8Array, session: AttachSession, wanted: boolean): void {
  if (!wanted) {
    socket.resume();
    return;
  }
  let ended = false;
  let writing = false;
  const end = (): void => {
    ended = true;
    if (!writing) session.closeStdin();
  };
  const write = (data: Uint8Array): void => {
    writing = true;
    socket.pause();
    session
      .write(data)
      .catch(() => {})
      .finally(() => {
        writing = false;
        if (ended) session.closeStdin();
        else socket.resume();
      });
  };
  socket.on("data", write);
  socket.on("end", end);
  if (early.length > 0) write(early);
  else socket.resume();
}

/** Connects a session with a connection until the output ends or the client is gone. */
export async function serveSession(socket: Duplex, early: Uint8Array, reply: HijackReply, log: Logger): Promise<void> {
  const { session } = reply;
  socket.on("close", () => session.close());
  if (socket.destroyed) {
    session.close();
    return;
  }
  pumpStdin(socket, early, session, reply.stdin);
  try {
    await pumpOutput(session.output, socket, reply.multiplexed);
  } catch (error) {
    if (!socket.destroyed) log.warn("attached stream failed", { error: errorMessage(error) });
  }
  finish(socket);
}

/** Sends the FIN and lets the client close: closing with unread input would make it see a reset instead. */
export function finish(socket: Duplex): void {
  if (socket.destroyed) return;
  socket.removeAllListeners("data");
  socket.on("data", () => {});
  socket.end();
  socket.resume();
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  timer.unref();
  socket.on("end", () => socket.destroy());
  socket.on("close", () => clearTimeout(timer));
  if (socket.readableEnded) socket.once("finish", () => socket.destroy());
}

/** The head of an accepted take-over. */
export function upgradeHead(contentType: string, headers: Readonly<Record<string, string>>): string {
  const extra = Object.entries(headers)
    .map(([key, value]) => `${key}: ${value}\r\n`)
    .join("");
  return `HTTP/1.1 101 UPGRADED\r\nContent-Type: ${contentType}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n${extra}\r\n`;
}

/** Answers a failed take-over: as text where dockerd does so, else as every other failure. */
export function refuse(socket: Duplex, error: unknown, raw: boolean, headers: Readonly<Record<string, string>>): void {
  if (socket.destroyed) return;
  if (raw) socket.write(rawErrorResponse(error));
  else {
    const body = errorBody(error);
    const lines = {
      "Content-Type": "application/json",
      "Content-Length": String(Buffer.byteLength(body)),
      Connection: "close",
      ...headers,
    };
    const head = Object.entries(lines).map(([key, value]) => `${key}: ${value}\r\n`);
    const status = httpStatus(error);
    socket.write(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\n${head.join("")}\r\n${body}`);
  }
  finish(socket);
}

/** The session of a process that is being started. What fails after the take-over is told as output, as dockerd does it for exec. */
export function startingSession(starting: Promise<AttachSession | null>, tty: boolean): AttachSession {
  const started = starting.catch((error: unknown) => sessionOfError(error, tty));
  const later = (act: (session: AttachSession) => void): void => {
    void started.then((session) => session && act(session));
  };
  return {
    tty,
    output: (async function* () {
      const session = await started;
      if (session) yield* session.output;
    })(),
    write: async (data) => (await started)?.write(data),
    closeStdin: () => later((session) => session.closeStdin()),
    close: () => later((session) => session.close()),
  };
}

function sessionOfError(error: unknown, tty: boolean): AttachSession {
  const data = Buffer.from(`${errorMessage(error)}\r\n`);
  return {
    tty,
    output: (async function* () {
      yield { stream: "stdout" as const, data };
    })(),
    write: async () => {},
    closeStdin: () => {},
    close: () => {},
  };
}
