import { DhowError, DOCKER_VERSION, errnoCode, errorMessage, VERSION } from "../../lib/mod.ts";

const TIMEOUT_MS = 15_000;
/** Answers to what is asked here are short. */
const LONGEST_ANSWER_BYTES = 1 << 20;
/** Registries let docker in that close their doors to others. */
const USER_AGENT = `docker/${DOCKER_VERSION} dhow/${VERSION} (linux)`;

export interface RegistryRequest {
  readonly method?: "GET" | "POST";
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Takes any certificate. */
  readonly isInsecure: boolean;
  readonly signal?: AbortSignal | undefined;
}

export interface RegistryAnswer {
  readonly status: number;
  readonly statusText: string;
  /** By their names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
}

/** Asks a registry, or what gives tokens for one. @throws internal, as Go says that no answer came */
export async function ask(url: string, { method = "GET", headers, body, isInsecure, signal }: RegistryRequest): Promise<RegistryAnswer> {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  try {
    const response = await fetch(url, {
      method,
      headers: { "User-Agent": USER_AGENT, ...headers },
      ...(body === undefined ? {} : { body }),
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
      tls: { rejectUnauthorized: !isInsecure },
    });
    const { status, statusText } = response;
    return { status, statusText, headers: Object.fromEntries(response.headers), text: await textOf(response) };
  } catch (error) {
    const reason = timeout.aborted
      ? "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
      : connectionFailure(url, error);
    throw new DhowError("internal", `${method === "GET" ? "Get" : "Post"} ${JSON.stringify(url)}: ${reason}`, { cause: error });
  }
}

async function textOf(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    if (length > LONGEST_ANSWER_BYTES) throw new DhowError("internal", "the answer is too long");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** Go's words for a connection that did not come to be. */
export function connectionFailure(url: string, error: unknown): string {
  const { hostname, host, port, protocol } = new URL(url);
  const address = port === "" ? `${host}:${protocol === "https:" ? 443 : 80}` : host;
  switch (errnoCode(error)) {
    case "ConnectionRefused":
    case "ECONNREFUSED":
      return `dial tcp ${address}: connect: connection refused`;
    case "FailedToOpenSocket":
    case "ENOTFOUND":
      return `dial tcp: lookup ${hostname}: no such host`;
    case "EAI_AGAIN":
      return `dial tcp: lookup ${hostname}: Temporary failure in name resolution`;
    default:
      return errorMessage(error);
  }
}
