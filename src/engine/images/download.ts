import { DhowError, errnoCode } from "../../lib/mod.ts";

/** What is at a URL; without a scheme it is http, and other schemes would reach files of the host. @throws invalid when the server refuses, internal in Go's words when there is none */
export async function download(source: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
  const url = source.includes("://") ? source : `http://${source}`;
  const get = `Get ${JSON.stringify(url)}`;
  const scheme = url.slice(0, url.indexOf(":")).toLowerCase();
  if (scheme !== "http" && scheme !== "https")
    throw new DhowError("internal", `${get}: unsupported protocol scheme ${JSON.stringify(scheme)}`);
  const response = await fetch(url, { signal }).catch((cause: unknown) => {
    throw new DhowError("internal", `${get}: ${errnoCode(cause) ?? "no connection"}`, { cause });
  });
  if (!response.ok || response.body === null)
    throw new DhowError("invalid", `failed to download ${JSON.stringify(url)}: ${response.status}`);
  return response.body;
}
