import { DhowError } from "../../lib/mod.ts";
import type { AttachOptions, EngineApi } from "../../spec/engine/mod.ts";
import { parseTimestamp } from "../decode.ts";
import { json, MULTIPLEXED_STREAM, RAW_STREAM, type Reply } from "../reply.ts";
import type { ApiRequest } from "../request.ts";
import { hijackRoute, type Route, route } from "../router.ts";
import { webSocketUpgrade } from "../web-socket.ts";

function attachOptions(request: ApiRequest): AttachOptions {
  const { query } = request;
  return {
    logs: query.flag("logs"),
    stream: query.flag("stream"),
    stdin: query.flag("stdin"),
    stdout: query.flag("stdout"),
    stderr: query.flag("stderr"),
    detachKeys: query.optional("detachKeys"),
    signal: request.signal,
  };
}

/** The content type of output: the multiplexed form has a name since 1.42. */
export function outputType(request: ApiRequest, tty: boolean): string {
  return !tty && request.atLeast(42) ? MULTIPLEXED_STREAM : RAW_STREAM;
}

/** Number of last lines; whatever is no number means all, as in docker. */
function tail(text: string): number {
  return /^\d+$/.test(text) ? Number(text) : -1;
}

async function* jsonLines<T, R>(source: AsyncIterable<T>, encode: (value: T) => R): AsyncIterable<R> {
  for await (const value of source) yield encode(value);
}

/** /containers: what goes in and out of their processes. */
export function streamRoutes({ streams }: Pick<EngineApi, "streams">, options: { readonly now: () => number }): readonly Route[] {
  const time = (request: ApiRequest, key: string): bigint => {
    const text = request.query.text(key);
    return text === "" || text === "0" ? 0n : parseTimestamp(text, options.now(), `invalid value for "${key}": `);
  };
  return [
    hijackRoute(
      "POST",
      "/containers/:name/attach",
      async (request) => {
        const wanted = attachOptions(request);
        const session = await streams.attach(request.name, wanted);
        return { session, contentType: outputType(request, session.tty), multiplexed: !session.tty, stdin: wanted.stdin && wanted.stream };
      },
      { rawErrors: true },
    ),
    hijackRoute("GET", "/containers/:name/attach/ws", async (request) => {
      // all streams were attached before 1.42
      const all = request.atLeast(42) ? {} : { stdin: true, stdout: true, stderr: true };
      const wanted = { ...attachOptions(request), ...all };
      const session = await streams.attach(request.name, wanted);
      try {
        // messages were text before 1.28
        const webSocket = webSocketUpgrade(request, request.atLeast(28) ? "binary" : "text");
        return { session, contentType: "", multiplexed: false, stdin: wanted.stdin && wanted.stream, webSocket };
      } catch (error) {
        session.close();
        throw error;
      }
    }),
    route("GET", "/containers/:name/logs", async (request): Promise<Reply> => {
      const { query } = request;
      const stdout = query.flag("stdout");
      const stderr = query.flag("stderr");
      if (!stdout && !stderr) throw new DhowError("invalid", "must specify at least one of 'stdout' or 'stderr'");
      const { tty, output } = await streams.logs(request.name, {
        follow: query.flag("follow"),
        stdout,
        stderr,
        timestamps: query.flag("timestamps"),
        details: query.flag("details"),
        sinceNs: time(request, "since"),
        untilNs: request.atLeast(35) ? time(request, "until") : 0n,
        tail: tail(query.text("tail")),
        signal: request.signal,
      });
      return { kind: "output", contentType: outputType(request, tty), multiplexed: !tty, output };
    }),
    route("POST", "/containers/:name/logs/clear", async (request) => {
      await streams.clearLogs(request.name);
      return { kind: "empty", status: 204 };
    }),
    route("POST", "/containers/:name/resize", async (request) => {
      await streams.resize(request.name, { rows: request.query.dimension("h", "height"), columns: request.query.dimension("w", "width") });
      return { kind: "empty", status: 200 };
    }),
    route("GET", "/containers/:name/top", async (request) => json(await streams.top(request.name, request.query.text("ps_args") || "-ef"))),
    route("GET", "/containers/:name/stats", async (request): Promise<Reply> => {
      const stream = request.query.flag("stream", true);
      const oneShot = !stream && request.atLeast(41) && request.query.flag("one-shot");
      const samples = await streams.stats(request.name, { stream, oneShot, signal: request.signal });
      const encode = request.atLeast(52)
        ? (sample: object) => sample
        : ({ ...sample }: { os_type?: unknown }) => {
            delete sample.os_type;
            return sample;
          };
      return { kind: "lines", contentType: "application/json", lines: jsonLines(samples, encode), after: "\n" };
    }),
  ];
}
