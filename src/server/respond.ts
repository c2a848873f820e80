import type { IncomingMessage, ServerResponse } from "node:http";
import { errorMessage, type Logger } from "../lib/mod.ts";
import { errorBody, httpStatus } from "./errors.ts";
import { RAW_STREAM, type Reply } from "./reply.ts";
import { drained, pumpOutput } from "./stream.ts";

/** Writes one answer; failures in the middle of a stream end it as dockerd does. */
export async function respond(response: ServerResponse, reply: Reply, log: Logger): Promise<void> {
  switch (reply.kind) {
    case "empty":
      response.writeHead(reply.status, reply.headers);
      response.end();
      return;
    case "json":
      sendJson(response, reply.status, `${JSON.stringify(reply.body)}\n`);
      return;
    case "text":
      response.writeHead(reply.status, {
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Length": Buffer.byteLength(reply.body),
        ...reply.headers,
      });
      response.end(reply.body);
      return;
    case "later":
      response.writeHead(200, { "Content-Type": "application/json" });
      response.flushHeaders();
      await later(response, reply.body, log);
      return;
    case "output":
      response.writeHead(200, { "Content-Type": reply.contentType });
      response.flushHeaders();
      await output(response, reply, log);
      return;
    case "lines":
      response.writeHead(200, { "Content-Type": reply.contentType });
      response.flushHeaders();
      await lines(response, reply, log);
      return;
    case "bytes":
      await bytes(response, reply, log);
      return;
    default: {
      const never: never = reply;
      return never;
    }
  }
}

/** Answers with a failure. */
export function respondError(response: ServerResponse, error: unknown): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const status = httpStatus(error);
  if (status === 304) {
    response.writeHead(304);
    response.end();
    return;
  }
  sendJson(response, status, errorBody(error));
}

/** Answers a failure as dockerd does where it takes connections over: with the text alone, and the connection's end. */
export function respondRawError(response: ServerResponse, error: unknown): void {
  const body = Buffer.from(`${errorMessage(error)}\r\n`);
  response.writeHead(httpStatus(error), { "Content-Type": RAW_STREAM, "Content-Length": body.length, Connection: "close" });
  response.end(body);
}

function sendJson(response: ServerResponse, status: number, body: string): void {
  const bytes = Buffer.from(body);
  response.writeHead(status, { "Content-Type": "application/json", "Content-Length": bytes.length });
  response.end(bytes);
}

async function later(response: ServerResponse, body: Promise<unknown>, log: Logger): Promise<void> {
  try {
    const value = await body;
    if (!response.destroyed) response.end(`${JSON.stringify(value)}\n`);
  } catch (error) {
    if (!response.destroyed) log.warn("answer ended early", { error: errorMessage(error) });
    response.destroy();
  }
}

async function output(response: ServerResponse, reply: Reply & { readonly kind: "output" }, log: Logger): Promise<void> {
  try {
    await pumpOutput(reply.output, response, reply.multiplexed);
  } catch (error) {
    if (response.destroyed) return;
    log.warn("log stream failed", { error: errorMessage(error) });
    const text = Buffer.from(`Error grabbing logs: ${errorMessage(error)}\n`);
    await pumpOutput(once({ stream: "stderr", data: text }), response, reply.multiplexed);
  }
  if (!response.destroyed) response.end();
}

async function* once<T>(value: T): AsyncIterable<T> {
  yield value;
}

async function lines(response: ServerResponse, reply: Reply & { readonly kind: "lines" }, log: Logger): Promise<void> {
  try {
    for await (const line of reply.lines) {
      if (response.destroyed) return;
      response.write(`${reply.before ?? ""}${JSON.stringify(line)}${reply.after}`);
      if (response.writableLength > 0) await drained(response);
    }
    response.end();
  } catch (error) {
    if (response.destroyed) return;
    if (reply.failure === undefined) {
      log.warn("stream failed", { error: errorMessage(error) });
      response.destroy();
      return;
    }
    response.end(reply.failure(error));
  }
}

async function bytes(response: ServerResponse, reply: Reply & { readonly kind: "bytes" }, log: Logger): Promise<void> {
  const source = reply.chunks[Symbol.asyncIterator]();
  // what fails before the first byte is an ordinary error
  let next = await source.next();
  response.writeHead(200, { "Content-Type": reply.contentType, ...reply.headers });
  try {
    while (!next.done) {
      if (response.destroyed) {
        await source.return?.();
        return;
      }
      response.write(next.value);
      if (response.writableLength > 0) await drained(response);
      next = await source.next();
    }
    response.end();
  } catch (error) {
    if (response.destroyed) return;
    log.warn("stream failed", { error: errorMessage(error) });
    if (reply.failure !== undefined) response.write(reply.failure(error));
    // the client must not take half an archive for a whole one
    await drained(response);
    response.destroy();
  }
}

/** A signal, made when it is first asked for, that is aborted when the client goes away before the answer ended. */
export function clientSignal(incoming: IncomingMessage, response: ServerResponse): () => AbortSignal {
  let controller: AbortController | undefined;
  return () => {
    if (controller !== undefined) return controller.signal;
    const own = new AbortController();
    controller = own;
    const gone = (): void => {
      if (!response.writableFinished) own.abort();
    };
    // the request itself counts as destroyed once its body was read
    if (response.destroyed || incoming.socket.destroyed) gone();
    else response.on("close", gone);
    return own.signal;
  };
}
