import type { EngineApi } from "../spec/engine/mod.ts";
import { orAborted } from "./abort.ts";

/** An engine's interfaces, where every call fails with the signal's reason once that is aborted; what was begun goes on. */
export function abortableApi(api: EngineApi, signal: AbortSignal): EngineApi {
  const rooms = Object.entries(api).map(([name, room]) => [name, abortable(room as object, signal)]);
  return Object.fromEntries(rooms) as EngineApi;
}

function abortable(room: object, signal: AbortSignal): object {
  return new Proxy(room, {
    get(target, name) {
      const method: unknown = Reflect.get(target, name, target);
      if (typeof method !== "function") return method;
      return (...args: readonly unknown[]): unknown => {
        signal.throwIfAborted();
        const result: unknown = Reflect.apply(method, target, args);
        return result instanceof Promise ? orAborted(result, signal) : result;
      };
    },
  });
}
