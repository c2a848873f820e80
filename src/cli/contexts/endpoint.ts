import { existsSync } from "node:fs";
import { join } from "node:path";
import type { TlsOptions } from "../../sdk/mod.ts";
import { readText } from "../env-file.ts";
import { currentContext } from "./config-file.ts";
import { ContextStore, DEFAULT_CONTEXT } from "./store.ts";

/** Where dhow's own daemon listens. */
export const DEFAULT_HOST = "unix:///run/dhow.sock";

/** What the flags before the command, and the environment, say about the engine. */
export interface EndpointSource {
  readonly flags: Readonly<Record<string, unknown>>;
  readonly changed: ReadonlySet<string>;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly configDir: string;
  /** Told what is wrong and not in the way. */
  readonly warn: (line: string) => void;
}

/** An engine as it is reached. */
export interface Endpoint {
  readonly host: string;
  readonly tls: TlsOptions | undefined;
  /** Nothing was said: it is dhow's own daemon. */
  readonly isOwn: boolean;
}

/** The host that -H or the environment gives; undefined when neither does. */
export function givenHost({ flags, env }: EndpointSource): string | undefined {
  return (flags["host"] as readonly string[])[0] || env["DHOW_HOST"] || env["DOCKER_HOST"] || undefined;
}

/** The name of the environment variable that keeps a chosen context from being used. */
export function overridingVariable(env: EndpointSource["env"]): string | undefined {
  return ["DHOW_HOST", "DOCKER_HOST"].find((name) => env[name]);
}

/** The context in use, by docker's precedence: --context, -H, DOCKER_HOST, DOCKER_CONTEXT, `context use`. */
export function contextName(source: EndpointSource): string {
  const flag = String(source.flags["context"] ?? "");
  if (flag !== "") return flag;
  if (givenHost(source) !== undefined) return DEFAULT_CONTEXT;
  return source.env["DOCKER_CONTEXT"] || currentContext(source.configDir, source.warn) || DEFAULT_CONTEXT;
}

/** How the engine is reached that the user means. @throws Error in docker's words */
export function resolveEndpoint(source: EndpointSource): Endpoint {
  const name = contextName(source);
  if (name === DEFAULT_CONTEXT) {
    // --context default means it even against DOCKER_HOST's context, but keeps the host
    const host = givenHost(source);
    return { host: host ?? DEFAULT_HOST, tls: flagTls(source), isOwn: host === undefined };
  }
  const store = new ContextStore(source.configDir);
  const endpoint = store.get(name).Endpoints["docker"];
  if (endpoint === undefined) throw new Error(`context ${JSON.stringify(name)}: no docker endpoint`);
  const isVerified = !(endpoint.SkipTLSVerify ?? false);
  const { "ca.pem": ca, "cert.pem": cert, "key.pem": key } = store.tlsFiles(name, "docker");
  const hasTls = !isVerified || ca !== undefined || cert !== undefined || key !== undefined;
  return { host: endpoint.Host || DEFAULT_HOST, tls: hasTls ? { ca, cert, key, isVerified } : undefined, isOwn: !endpoint.Host };
}

/** --tls… and their variables; a file that wasn't named may be missing, but not the authority that is to be verified by. */
function flagTls({ flags, changed, env, configDir }: EndpointSource): TlsOptions | undefined {
  const isVerified = changed.has("tlsverify") ? flags["tlsverify"] === true : Boolean(env["DOCKER_TLS_VERIFY"]);
  const isOn = changed.has("tlsverify") || isVerified || (changed.has("tls") ? flags["tls"] === true : Boolean(env["DOCKER_TLS"]));
  if (!isOn) return undefined;
  const directory = env["DOCKER_CERT_PATH"] || configDir;
  const path = (name: string, file: string): string | undefined => {
    const usual = join(directory, file);
    if (changed.has(name)) return String(flags[name]) || undefined;
    return existsSync(usual) || (name === "tlscacert" && isVerified) ? usual : undefined;
  };
  const read = (name: string, file: string): string | undefined => {
    const found = path(name, file);
    return found === undefined ? undefined : readText(found);
  };
  return { ca: read("tlscacert", "ca.pem"), cert: read("tlscert", "cert.pem"), key: read("tlskey", "key.pem"), isVerified };
}
