import { type Report, withByteProgress } from "../../images/mod.ts";
import { DhowError, type ErrorKind, errnoCode } from "../../lib/mod.ts";
import { connectionFailure } from "../../registry/mod.ts";

/** What comes from a URL. */
export interface Download {
  /** With the scheme. */
  readonly url: string;
  readonly body: AsyncIterable<Uint8Array>;
  /** 0 when the server doesn't say. */
  readonly sizeBytes: number;
}

/** As much of a refusal's body goes into the error. */
const LONGEST_REASON = 64 * 1024;

const KINDS: Readonly<Record<number, ErrorKind>> = { 400: "invalid", 401: "unauthenticated", 403: "forbidden", 404: "notFound" };

/**
 * Begins to get what is at a URL; without a scheme it is http, and other schemes would reach files of the host.
 * @throws invalid for what is no URL; the kind of the server's refusal; notFound for a host that is not known, else internal in Go's words
 */
export async function beginDownload(source: string, signal: AbortSignal | undefined): Promise<Download> {
  const url = source.includes("://") ? source : `http://${source}`;
  const get = `Get ${JSON.stringify(url)}`;
  const scheme = url.slice(0, url.indexOf(":")).toLowerCase();
  if (scheme !== "http" && scheme !== "https")
    throw new DhowError("internal", `${get}: unsupported protocol scheme ${JSON.stringify(scheme)}`);
  checkUrl(url);
  const response = await fetch(url, signal === undefined ? {} : { signal }).catch((cause: unknown) => {
    const kind = errnoCode(cause) === "ENOTFOUND" ? "notFound" : "internal";
    throw new DhowError(kind, `${get}: ${connectionFailure(url, cause)}`, { cause });
  });
  if (response.status >= 400 || response.body === null) {
    const words = `failed to GET ${url} with status ${response.status} ${response.statusText}: ${await reasonOf(response)}`;
    throw new DhowError(KINDS[response.status] ?? "internal", words);
  }
  const length = Number(response.headers.get("content-length") ?? "0");
  // of a body that the server packed for the way, the length is another
  return { url, body: response.body, sizeBytes: response.headers.has("content-encoding") ? 0 : length };
}

/** The bytes, while docker's lines tell where they come from and how far they are. */
export function withDownloadProgress({ url, body, sizeBytes }: Download, report: Report): AsyncIterable<Uint8Array> {
  report({ status: `Downloading from ${url}` });
  return withByteProgress(body, { report, status: "Importing", totalBytes: sizeBytes });
}

/** @throws invalid in Go's words */
function checkUrl(url: string): void {
  if (URL.canParse(url)) return;
  const [, host = ""] = /^\w+:\/\/([^/?#]*)/.exec(url) ?? [];
  const [escaped] = /%[0-7][0-9a-fA-F]/.exec(host) ?? [];
  const reason = escaped === undefined ? "invalid host" : `invalid URL escape ${JSON.stringify(escaped)}`;
  throw new DhowError("invalid", `parse ${JSON.stringify(url)}: ${reason}`);
}

async function reasonOf(response: Response): Promise<string> {
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length > LONGEST_REASON) break;
  }
  return text.trim();
}
