import { DhowError, isKind } from "../../lib/mod.ts";
import { type Challenge, parseChallenges } from "./challenge.ts";
import type { InsecureRegistries } from "./insecure.ts";
import { ask, type RegistryAnswer } from "./request.ts";

const DEFAULT_REGISTRY = "registry-1.docker.io";
const INDEX_HOSTS = new Set(["", "docker.io", "index.docker.io"]);
const CLIENT_ID = "docker";

/** What a user proves himself with. */
export interface Credentials {
  readonly username: string;
  readonly password: string;
  /** From an earlier login, in the place of a password. */
  readonly identityToken: string;
}

export interface LoginOptions {
  /** As the user wrote it: a host, or a URL of which only the host counts; empty is Docker Hub. */
  readonly serverAddress: string;
  readonly insecure: InsecureRegistries;
  readonly signal?: AbortSignal | undefined;
}

/** Where a registry is looked for. */
interface Endpoint {
  readonly url: string;
  readonly isInsecure: boolean;
}

/**
 * Asks a registry whether it lets the user in. Returns the identity token that it gives for the next time, empty when it gives none.
 * @throws unauthenticated, invalid, internal in docker's words
 * @see https://github.com/distribution/distribution/blob/v2.8.3/docs/spec/auth/token.md
 */
export async function login(credentials: Credentials, options: LoginOptions): Promise<string> {
  const host = hostOf(options.serverAddress);
  const isInsecure = await options.insecure.includes(host);
  const endpoints = [`https://${host}`, ...(isInsecure ? [`http://${host}`] : [])].map((base) => ({ url: `${base}/v2/`, isInsecure }));
  let last: unknown;
  for (const endpoint of endpoints) {
    try {
      return await loginAt(endpoint, credentials, options.signal);
    } catch (error) {
      // whom it knows and does not let in has no business without TLS
      if (isKind(error, "unauthenticated")) throw error;
      last = error;
    }
  }
  throw last;
}

function hostOf(address: string): string {
  const url = /^https?:\/\//.test(address) ? address : `https://${address}`;
  const host = address === "" ? "" : URL.canParse(url) ? new URL(url).host : undefined;
  if (host === undefined) throw new DhowError("invalid", `unable to parse server address: parse ${JSON.stringify(url)}: invalid URL`);
  return INDEX_HOSTS.has(host) ? DEFAULT_REGISTRY : host;
}

async function loginAt(endpoint: Endpoint, credentials: Credentials, signal: AbortSignal | undefined): Promise<string> {
  const { url, isInsecure } = endpoint;
  const first = await ask(url, { isInsecure, signal });
  if (first.status === 200) return "";
  const challenges = first.status === 401 ? parseChallenges(first.headers["www-authenticate"] ?? "") : [];
  const bearer = challenges.find(({ scheme }) => scheme === "bearer");
  const { token, identityToken } = bearer ? await tokenFor(bearer, credentials, { ...endpoint, signal }) : { token: "", identityToken: "" };
  const isBasic = challenges.some(({ scheme }) => scheme === "basic");
  if (!bearer && isBasic && credentials.username === "") throw failure(url, "internal", "no basic auth credentials");
  const authorization = bearer ? `Bearer ${token}` : isBasic ? basic(credentials) : undefined;
  const answer = authorization === undefined ? first : await ask(url, { headers: { Authorization: authorization }, isInsecure, signal });
  if (answer.status === 200) return identityToken;
  const { status, statusText } = answer;
  throw new DhowError("internal", `login attempt to ${url} failed with status: ${status} ${statusText}`);
}

function basic({ username, password }: Credentials): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
}

function failure(url: string, kind: "internal" | "unauthenticated", reason: string): DhowError {
  return new DhowError(kind, `Get ${JSON.stringify(url)}: ${reason}`);
}

interface Tokens {
  readonly token: string;
  readonly identityToken: string;
}

/** A token from the service that the registry's challenge names. */
async function tokenFor(
  { parameters }: Challenge,
  credentials: Credentials,
  { url, isInsecure, signal }: Endpoint & { readonly signal: AbortSignal | undefined },
): Promise<Tokens> {
  const { realm = "", service = "" } = parameters;
  if (!/^https?:\/\//.test(realm) || !URL.canParse(realm)) throw failure(url, "internal", `invalid token auth challenge realm: ${realm}`);
  const answer = credentials.identityToken
    ? await ask(realm, { ...refreshForm(credentials.identityToken, service), isInsecure, signal })
    : await ask(tokenUrl(realm, service, credentials), {
        headers: credentials.username === "" ? {} : { Authorization: basic(credentials) },
        isInsecure,
        signal,
      });
  if (answer.status < 200 || answer.status > 299) {
    throw failure(url, answer.status === 401 ? "unauthenticated" : "internal", refusal(answer));
  }
  const { token, access_token: accessToken, refresh_token: refreshToken } = jsonObject(answer.text);
  const given = token || accessToken;
  if (typeof given !== "string") throw failure(url, "internal", "authorization server did not include a token in the response");
  return { token: given, identityToken: typeof refreshToken === "string" ? refreshToken : credentials.identityToken };
}

function tokenUrl(realm: string, service: string, { username }: Credentials): string {
  const url = new URL(realm);
  if (username !== "") url.searchParams.set("account", username);
  url.searchParams.set("client_id", CLIENT_ID);
  url.searchParams.set("offline_token", "true");
  if (service !== "") url.searchParams.set("service", service);
  return url.href;
}

function refreshForm(token: string, service: string) {
  const form = { client_id: CLIENT_ID, grant_type: "refresh_token", refresh_token: token, scope: "", service };
  return {
    method: "POST" as const,
    headers: { "Content-Type": "application/x-www-form-urlencoded" },
    body: new URLSearchParams(form).toString(),
  };
}

/** Why a token was refused: a registry's list of errors, or the details of Docker's own service. */
function refusal({ status, text }: RegistryAnswer): string {
  const { errors, details } = jsonObject(text);
  const [error] = Array.isArray(errors) ? (errors as readonly { readonly code?: unknown; readonly message?: unknown }[]) : [];
  if (error) return `${String(error.code ?? "unknown").toLowerCase()}: ${String(error.message ?? "unknown error")}`;
  if (status === 401) return `unauthorized: ${typeof details === "string" ? details : "authentication required"}`;
  return `unexpected status code ${status} from the token server`;
}

function jsonObject(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
  } catch {
    return {};
  }
}
