import type { HijackReply, Reply } from "./reply.ts";
import type { ApiRequest } from "./request.ts";

export type Handler = (request: ApiRequest) => Reply | Promise<Reply>;
/** Answers with a session, or with an ordinary reply when there is nothing to take over (a detached exec). */
export type HijackHandler = (request: ApiRequest) => Promise<HijackReply | Reply>;

/**
 * A route as data. `:name` stands for anything, slashes included, between the first and the last part of the path;
 * `/:id` at the end of what follows it for the last part.
 */
export interface Route {
  readonly method: string;
  readonly pattern: string;
  readonly handler: Handler;
  readonly hijack?: HijackHandler;
  /** How a failure is told on a connection that was meant to be taken over: dockerd answers attach with plain text. */
  readonly rawErrors?: boolean;
}

export function route(method: string, pattern: string, handler: Handler): Route {
  return { method, pattern, handler };
}

/** A route that takes over the connection. */
export function hijackRoute(method: string, pattern: string, hijack: HijackHandler, options: { readonly rawErrors?: boolean } = {}): Route {
  const handler: Handler = () => {
    throw new Error(`${method} ${pattern} takes over its connection`);
  };
  return { method, pattern, handler, hijack, rawErrors: options.rawErrors ?? false };
}

export interface Match {
  readonly route: Route;
  readonly name: string;
  readonly id?: string;
}

/** Finds routes with five look-ups: the whole path; first and last part (or two) around a name, the last any; first part before a name. */
export class Router {
  readonly #exact = new Map<string, Route>();
  readonly #around = new Map<string, Route>();
  readonly #before = new Map<string, Route>();

  constructor(routes: readonly Route[]) {
    for (const entry of routes) this.#add(entry);
  }

  #add(entry: Route): void {
    const [head = "", tail] = entry.pattern.split("/:name");
    if (tail === undefined) this.#exact.set(`${entry.method} ${entry.pattern}`, entry);
    else if (tail === "") this.#before.set(`${entry.method} ${head}`, entry);
    else this.#around.set(`${entry.method} ${head} ${tail}`, entry);
  }

  /** `path` is decoded and without its version. */
  match(method: string, path: string): Match | undefined {
    // a name has no line break in it, as in the router that dockerd uses
    if (path.includes("\n")) return undefined;
    const exact = this.#exact.get(`${method} ${path}`);
    if (exact !== undefined) return { route: exact, name: "" };
    const second = path.indexOf("/", 1);
    if (second < 0) return undefined;
    const head = path.slice(0, second);
    const last = path.lastIndexOf("/");
    for (const end of [path.lastIndexOf("/", last - 1), last]) {
      const around = end > second + 1 ? this.#around.get(`${method} ${head} ${path.slice(end)}`) : undefined;
      if (around !== undefined) return { route: around, name: path.slice(second + 1, end) };
    }
    const beforeLast = path.lastIndexOf("/", last - 1);
    const withId = beforeLast > second + 1 ? this.#around.get(`${method} ${head} ${path.slice(beforeLast, last)}/:id`) : undefined;
    if (withId !== undefined) return { route: withId, name: path.slice(second + 1, beforeLast), id: path.slice(last + 1) };
    const before = this.#before.get(`${method} ${head}`);
    if (before !== undefined && path.length > second + 1) return { route: before, name: path.slice(second + 1) };
    return undefined;
  }
}
