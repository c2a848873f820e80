import { ExitError } from "../command.ts";
import { csvFields } from "../csv.ts";
import { readText } from "../env-file.ts";
import type { Kind } from "../flag-kinds.ts";
import { type EndpointSource, resolveEndpoint } from "./endpoint.ts";
import { type ContextMeta, ContextStore, DEFAULT_CONTEXT, type DockerEndpoint, type TlsFiles } from "./store.ts";

type Pairs = Readonly<Record<string, string>>;

/** `--docker host=…,ca=…`: pairs separated by commas, again and again. */
export const ENDPOINT_PAIRS: Kind<Pairs> = {
  initial: {},
  word: "stringToString",
  parse: (text, previous) => {
    const fields = text.split("=").length === 2 ? [text.replace(/^"+|"+$/g, "")] : csvFields(text);
    const pairs = fields.map((pair) => {
      const at = pair.indexOf("=");
      if (at < 0) throw new Error(`${pair} must be formatted as key=value`);
      return [pair.slice(0, at), pair.slice(at + 1)] as const;
    });
    return { ...previous, ...Object.fromEntries(pairs) };
  },
};

/** What `create` and `update` explain before their options. */
export function endpointHelp(short: string, verb: string): string {
  const rows = [
    ["NAME", "DESCRIPTION"],
    ["from", "Copy named context's Docker endpoint configuration"],
    ["host", "Docker endpoint on which to connect"],
    ["ca", "Trust certs signed only by this CA"],
    ["cert", "Path to TLS certificate file"],
    ["key", "Path to TLS key file"],
    ["skip-tls-verify", "Skip TLS certificate validation"],
  ];
  const table = rows.map(([name = "", text]) => `${name.padEnd(20)}${text}\n`).join("");
  const example = `--description "some description" --docker "host=tcp://myserver:2376,ca=~/ca-file,cert=~/cert-file,key=~/key-file"`;
  return `${short}\n\nDocker endpoint config:\n\n${table}\nExample:\n\n$ docker context ${verb} my-context ${example}`;
}

/** A context and its TLS material by endpoints. */
export interface WholeContext {
  readonly meta: ContextMeta;
  readonly tls: Readonly<Record<string, TlsFiles>>;
}

/** What docker calls the default context. */
export const DEFAULT_DESCRIPTION = "Current DOCKER_HOST based configuration";

/** The default context, from flags and environment alone. */
function defaultContext(source: EndpointSource): WholeContext {
  const { host, tls } = resolveEndpoint({ ...source, flags: { ...source.flags, context: DEFAULT_CONTEXT } });
  const files = { "ca.pem": tls?.ca, "cert.pem": tls?.cert, "key.pem": tls?.key };
  const found = Object.entries(files).flatMap(([name, text]) => (text === undefined ? [] : [[name, text] as const]));
  const endpoint = { Host: host, SkipTLSVerify: tls !== undefined && !tls.isVerified };
  return {
    meta: { Name: DEFAULT_CONTEXT, Metadata: {}, Endpoints: { docker: endpoint } },
    tls: found.length === 0 ? {} : { docker: Object.fromEntries(found) },
  };
}

/** A context by its name, with its TLS material. @throws ContextNotFound */
export function wholeContext(source: EndpointSource, name: string): WholeContext {
  if (name === DEFAULT_CONTEXT) return defaultContext(source);
  const store = new ContextStore(source.configDir);
  const meta = store.get(name);
  const endpoints = Object.keys(store.tlsNames(name));
  return { meta, tls: Object.fromEntries(endpoints.map((endpoint) => [endpoint, store.tlsFiles(name, endpoint)])) };
}

const KEYS: readonly string[] = ["from", "host", "ca", "cert", "key", "skip-tls-verify"];

/** The endpoint that `--docker` describes. @throws ExitError in docker's words */
export function endpointOf(source: EndpointSource, pairs: Pairs): { readonly endpoint: DockerEndpoint; readonly tls: TlsFiles } {
  const prefix = "unable to create docker endpoint config";
  const unknown = Object.keys(pairs).find((key) => !KEYS.includes(key));
  if (unknown !== undefined) throw new ExitError(1, `${prefix}: unrecognized config key: ${unknown}`);
  try {
    const { from, host } = pairs;
    if (from !== undefined) {
      const { meta, tls } = wholeContext(source, from);
      const endpoint = meta.Endpoints["docker"];
      if (endpoint === undefined) throw new Error(`unable to get endpoint from context ${JSON.stringify(from)}`);
      return { endpoint, tls: tls["docker"] ?? {} };
    }
    const tls = Object.entries({ ca: pairs["ca"], cert: pairs["cert"], key: pairs["key"] }).flatMap(([name, path]) =>
      path ? [[`${name}.pem`, readText(path)] as const] : [],
    );
    if (host) checkHost(host);
    return { endpoint: { Host: host ?? "", SkipTLSVerify: skips(pairs["skip-tls-verify"]) }, tls: Object.fromEntries(tls) };
  } catch (error) {
    throw new ExitError(1, `${prefix}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** @throws Error in docker's words, of what no command could use */
function checkHost(host: string): void {
  const [, scheme, address = ""] = host.match(/^([^:]*):\/\/(.*)$/s) ?? [];
  const options = "invalid docker endpoint options";
  if (scheme === "ssh" && /^(?:[^@]*@)?(?:[:/]|$)/.test(address)) {
    throw new Error(`${options}: ssh host connection is not valid: invalid SSH URL: hostname is empty`);
  }
  if (scheme === undefined || address === "")
    throw new Error(`unable to apply docker endpoint options: unable to parse docker host \`${host}\``);
  if (scheme === "tcp" && address.startsWith("[") && !address.includes("]")) {
    throw new Error(`${options}: parse ${JSON.stringify(host)}: missing ']' in host`);
  }
}

function skips(text: string | undefined): boolean {
  if (text === undefined || text === "") return false;
  if (["1", "t", "T", "TRUE", "true", "True"].includes(text)) return true;
  if (["0", "f", "F", "FALSE", "false", "False"].includes(text)) return false;
  throw new Error(`skip-tls-verify: strconv.ParseBool: parsing ${JSON.stringify(text)}: invalid syntax`);
}
