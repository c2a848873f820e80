import { createClient, type EngineClient } from "../sdk/mod.ts";
import { LEASE_HEADER } from "../spec/engine/mod.ts";
import { DEFAULT_HOST, type EndpointSource, resolveEndpoint } from "./contexts/endpoint.ts";

/** A client of the engine that the user means; a daemon of our own is started when none runs at the default place. @throws invalid for a bad address */
export function connect(source: EndpointSource, warn: (line: string) => void): EngineClient {
  const { host, tls, isOwn } = resolveEndpoint(source);
  const canStart = isOwn && process.getuid?.() === 0;
  return createClient({
    host,
    tls,
    version: source.env["DOCKER_API_VERSION"],
    // what is made belongs to the lease that `dhow lease run` gave this process
    ...(source.env["DHOW_LEASE"] ? { headers: { [LEASE_HEADER]: source.env["DHOW_LEASE"] } } : {}),
    onUnreachable: canStart ? async () => (await import("./auto-start.ts")).startDaemon(DEFAULT_HOST, warn) : undefined,
  });
}
