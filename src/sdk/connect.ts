import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import type { EngineAccess } from "./access.ts";
import type { Address } from "./address.ts";
import { createClient } from "./client.ts";
import { type ContextEndpoint, contextEndpoint, currentContext, DEFAULT_CONTEXT } from "./context.ts";
import { Dhow } from "./dhow.ts";
import type { TlsOptions } from "./tls.ts";

const DHOW_SOCKET = "/run/dhow.sock";
const DOCKER_SOCKET = "/var/run/docker.sock";

/** Which engine to speak with, and how. */
export interface ConnectOptions {
  /**
   * `unix:///path`, `tcp://host:port` or `ssh://user@host`. Default: DHOW_HOST, else DOCKER_HOST, else the context in use, else dhow's
   * socket when it is there, else docker's.
   */
  readonly host?: string | undefined;
  /** The engine of one of docker's contexts, in the place of `host`. Default: DOCKER_CONTEXT, else what `docker context use` chose. */
  readonly context?: string | undefined;
  /** For `tcp://`. Default: the context's, else the files in DOCKER_CERT_PATH (or ~/.docker) when DOCKER_TLS_VERIFY is set. */
  readonly tls?: TlsOptions | undefined;
  /** A version of Docker's API, `1.44`. Default: DOCKER_API_VERSION, else the newest that both sides speak. */
  readonly version?: string | undefined;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** The engine that is meant, by the precedence of docker's command line. @throws notFound, invalid for a context that can't be used */
function endpointOf(options: ConnectOptions, env: Environment): ContextEndpoint {
  if (options.host !== undefined) return { host: options.host, tls: undefined };
  const host = env["DHOW_HOST"] || env["DOCKER_HOST"];
  if (host && options.context === undefined) return { host, tls: tlsOf(env) };
  const configDir = env["DOCKER_CONFIG"] || join(homedir(), ".docker");
  const context = options.context ?? (env["DOCKER_CONTEXT"] || currentContext(configDir) || DEFAULT_CONTEXT);
  const usual = `unix://${existsSync(DHOW_SOCKET) ? DHOW_SOCKET : DOCKER_SOCKET}`;
  if (context === DEFAULT_CONTEXT) return { host: host || usual, tls: tlsOf(env) };
  const found = contextEndpoint(context, configDir);
  return { host: found.host || usual, tls: found.tls };
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

/**
 * An engine behind a socket. It is first called when something is asked of it.
 * @throws invalid for an address that is none, notFound for a context that isn't there
 */
export function connect(options: ConnectOptions = {}): Dhow {
  const { env } = process;
  const endpoint = endpointOf(options, env);
  const client = createClient({
    host: endpoint.host,
    tls: options.tls ?? endpoint.tls,
    version: options.version ?? env["DOCKER_API_VERSION"],
  });
  const access: EngineAccess = {
    within: (signal) => (signal === undefined ? client : client.within(signal)),
    hostname: hostnameOf(client.address),
    close: async () => client.close(),
  };
  return new Dhow(access);
}
