import { createHash } from "node:crypto";
import { createServer, type ListenOptions, type Socket } from "node:net";
import { errorMessage, type Logger } from "../../lib/mod.ts";
import type { Filters } from "../../spec/engine/mod.ts";
import type { Hold, Leases } from "./leases.ts";

const MAX_LINE_BYTES = 64 * 1024;
/** Testcontainers' reaper waits so long for a client to come back. */
const GRACE_S = 10;
const KEYS = ["label", "name"];

/**
 * What a line of the protocol asks for: filters in the form of a query string, `label=a=b&label=c=d`. Undefined for one that is none, or
 * that would take objects which nobody has marked: a label with its value has to be among them.
 */
export function parseReaperLine(line: string): Filters | undefined {
  const query = new URLSearchParams(line.trim());
  const filters: Record<string, string[]> = {};
  for (const [key, value] of query) {
    if (!KEYS.includes(key) || value === "") return undefined;
    filters[key] = [...(filters[key] ?? []), value];
  }
  return filters["label"]?.some((label) => label.indexOf("=") > 0) ? filters : undefined;
}

/** The name of the lease that everybody shares who sends the same filters. */
function leaseName(filters: Filters): string {
  const text = JSON.stringify(KEYS.map((key) => [...(filters[key] ?? [])].sort()));
  return `reaper-${createHash("sha256").update(text).digest("hex").slice(0, 16)}`;
}

export interface ReaperServer {
  /** @throws what listen(2) says */
  listen(where: ListenOptions & { readonly fd?: number }): Promise<void>;
  /** Stops, and cuts every connection. */
  close(): void;
}

/**
 * A server of the protocol of Testcontainers' reaper (Ryuk): a client sends filters, one set per line, and each is answered by `ACK`.
 * What passes them is removed when no client that sent them has been connected for ten seconds.
 * @see https://github.com/testcontainers/moby-ryuk
 */
export function reaperServer(leases: Pick<Leases, "holdFilters">, log: Logger, onEnd: () => void = () => {}): ReaperServer {
  const connections = new Set<Socket>();
  const open = new Set<Hold>();
  const server = createServer((socket) => {
    connections.add(socket);
    using cleanup = new DisposableStack();
    const holds = cleanup.move();
    let text = "";
    const take = (line: string): void => {
      const filters = parseReaperLine(line);
      if (filters === undefined) {
        log.warn("reaper: a client asked for what has no label", { line: line.slice(0, 200) });
        socket.destroy();
        return;
      }
      const hold = holds.use(leases.holdFilters(leaseName(filters), filters, GRACE_S));
      open.add(hold);
      void hold.ended.then(() => {
        open.delete(hold);
        if (open.size === 0 && connections.size === 0) onEnd();
      });
      socket.write("ACK\n");
    };
    socket.setKeepAlive(true, 15_000);
    socket.setEncoding("utf8");
    socket.on("data", (data: string) => {
      text += data;
      const lines = text.split("\n");
      text = lines.pop() ?? "";
      if (text.length > MAX_LINE_BYTES) socket.destroy();
      try {
        for (const line of lines) if (line.trim() !== "" && !socket.destroyed) take(line);
      } catch (error) {
        log.warn("reaper: a client could not be served", { error: errorMessage(error) });
        socket.destroy();
      }
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      connections.delete(socket);
      holds.dispose();
    });
  });
  server.on("error", (error) => log.warn("reaper can't serve", { error }));
  server.unref();
  return {
    listen: (where) =>
      new Promise((resolve, reject) => {
        server.once("error", reject);
        server.listen(where, resolve);
      }),
    close: () => {
      server.close();
      for (const socket of connections) socket.destroy();
    },
  };
}
