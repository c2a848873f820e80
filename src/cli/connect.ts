import { createClient, type EngineClient } from "../sdk/mod.ts";

/** Where dhow's own daemon listens. */
export const DEFAULT_HOST = "unix:///run/dhow.sock";

export interface ConnectOptions {
  /** What `-H` gave. */
  readonly hosts: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly warn: (line: string) => void;
}

/** A client of the engine that the user means; a daemon of our own is started when none runs at the default place. @throws invalid for a bad address */
export function connect({ hosts, env, warn }: ConnectOptions): EngineClient {
  const given = hosts[0] || env["DHOW_HOST"] || env["DOCKER_HOST"];
  const canStart = !given && process.getuid?.() === 0;
  return createClient({
    host: given || DEFAULT_HOST,
    version: env["DOCKER_API_VERSION"],
    onUnreachable: canStart ? async () => (await import("./auto-start.ts")).startDaemon(DEFAULT_HOST, warn) : undefined,
  });
}
