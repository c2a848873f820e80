import { createServer } from "node:http";
import { errorMessage, type Logger } from "../../lib/mod.ts";
import { errorBody, httpStatus } from "../errors.ts";
import { tcpGuard, unixGuard } from "../guard.ts";
import { type ListenAddress, type Listener, listen } from "../listen.ts";

export interface MetricsServerOptions {
  readonly address: ListenAddress & { readonly kind: "unix" | "tcp" };
  /** The text of all metrics, made for each scrape. */
  readonly text: () => string;
  readonly log: Logger;
}

const CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** Serves `/metrics`, and nothing else. @throws conflict when the address is taken */
export function serveMetrics({ address, text, log }: MetricsServerOptions): Promise<Listener> {
  const guard = address.kind === "tcp" ? tcpGuard([address.host, ...(address.names ?? [])]) : unixGuard;
  const server = createServer((incoming, response) => {
    const answer = (status: number, type: string, body: string): void => {
      response.writeHead(status, { "Content-Type": type, "Content-Length": Buffer.byteLength(body) });
      response.end(incoming.method === "HEAD" ? undefined : body);
    };
    try {
      guard(incoming);
      if ((incoming.url ?? "").split("?", 1)[0] === "/metrics") answer(200, CONTENT_TYPE, text());
      else answer(404, "text/plain; charset=utf-8", "404 page not found\n");
    } catch (error) {
      if (httpStatus(error) === 500) log.error("metrics could not be read", { error: errorMessage(error) });
      answer(httpStatus(error), "application/json", errorBody(error));
    }
  });
  return listen(server, address, log);
}
