import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import type { EngineAccess } from "./access.ts";
import type { Address } from "./address.ts";
import { createClient } from "./client.ts";
import { Dhow } from "./dhow.ts";
import type { TlsOptions } from "./tls.ts";

const DHOW_SOCKET = "/run/dhow.sock";
const DOCKER_SOCKET = "/var/run/docker.sock";

/** Which engine to speak with, and how. */
export interface ConnectOptions {
  /**
   * `unix:///path`, `tcp://host:port` or `ssh://user@host`. Default: DHOW_HOST, else DOCKER_HOST, else dhow's socket when it is there,
   * else docker's.
   */
  readonly host?: string | undefined;
  /** For `tcp://`. Default: the files in DOCKER_CERT_PATH (or ~/.docker) when DOCKER_TLS_VERIFY is set. */
  readonly tls?: TlsOptions | undefined;
  /** A version of Docker's API, `1.44`. Default: DOCKER_API_VERSION, else the newest that both sides speak. */
  readonly version?: string | undefined;
}

type Environment = Readonly<Record<string, string | undefined>>;

function hostOf(env: Environment): string {
  return env["DHOW_HOST"] || env["DOCKER_HOST"] || `unix://${existsSync(DHOW_SOCKET) ? DHOW_SOCKET : DOCKER_SOCKET}`;
}

/** @throws when a file is missing */
function tlsOf(env: Environment): TlsOptions | undefined {
  if (!env["DOCKER_TLS_VERIFY"]) return undefined;
  const dir = env["DOCKER_CERT_PATH"] || env["DOCKER_CONFIG"] || join(homedir(), ".docker");
  const read = (name: string): string => readFileSync(join(dir, name), "utf8");
  return { ca: read("ca.pem"), cert: read("cert.pem"), key: read("key.pem"), isVerified: true };
}

function hostnameOf(address: Address): string {
  return address.kind === "unix" ? "localhost" : address.host;
}

/** An engine behind a socket. It is first called when something is asked of it. @throws invalid for an address that is none */
export function connect(options: ConnectOptions = {}): Dhow {
  const { env } = process;
  const client = createClient({
    host: options.host ?? hostOf(env),
    tls: options.tls ?? (options.host === undefined ? tlsOf(env) : undefined),
    version: options.version ?? env["DOCKER_API_VERSION"],
  });
  const access: EngineAccess = {
    within: (signal) => (signal === undefined ? client : client.within(signal)),
    hostname: hostnameOf(client.address),
    close: async () => client.close(),
  };
  return new Dhow(access);
}
