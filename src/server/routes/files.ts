import { DhowError } from "../../lib/mod.ts";
import type { EngineApi, PathStat } from "../../spec/engine/mod.ts";
import { readAhead } from "../read-ahead.ts";
import type { ApiRequest } from "../request.ts";
import { type Route, route } from "../router.ts";

function pathOf({ query }: ApiRequest): string {
  const path = query.text("path");
  // docker leaves the space out
  if (path === "") throw new DhowError("invalid", "bad parameter: pathcannot be empty");
  return path;
}

function statHeader({ name, size, mode, mtime, linkTarget }: PathStat): Readonly<Record<string, string>> {
  const text = JSON.stringify({ name, size, mode, mtime, linkTarget });
  return { "X-Docker-Container-Path-Stat": Buffer.from(text).toString("base64") };
}

/** Whether a client takes gzip. @see RFC 9110, section 12.5.3 */
function takesGzip(request: ApiRequest): boolean {
  return request
    .header("accept-encoding")
    .split(",")
    .some((part) => /^\s*(gzip|\*)\s*(;\s*q=(1|0\.\d*[1-9]))?/i.test(part) && !/;\s*q=0(\.0*)?\s*$/i.test(part));
}

async function* gzipped(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
  const [{ Readable }, { createGzip }] = await Promise.all([import("node:stream"), import("node:zlib")]);
  const input = Readable.from(chunks, { objectMode: false });
  const packed = createGzip();
  input.on("error", (error) => packed.destroy(error));
  input.pipe(packed);
  try {
    for await (const chunk of packed) yield chunk as Uint8Array;
  } finally {
    input.destroy();
    packed.destroy();
  }
}

/** /containers/{id}/archive */
export function fileRoutes({ files }: Pick<EngineApi, "files">): readonly Route[] {
  return [
    route("HEAD", "/containers/:name/archive", async (request) => ({
      kind: "empty",
      status: 200,
      headers: statHeader(await files.stat(request.name, pathOf(request), { signal: request.signal })),
    })),
    route("GET", "/containers/:name/archive", async (request) => {
      const { stat, archive } = await files.getArchive(request.name, pathOf(request), { signal: request.signal });
      const plain = { kind: "bytes", contentType: "application/x-tar", headers: statHeader(stat), chunks: archive } as const;
      if (!takesGzip(request)) return plain;
      return { ...plain, headers: { ...plain.headers, "Content-Encoding": "gzip" }, chunks: gzipped(archive) };
    }),
    route("PUT", "/containers/:name/archive", async (request) => {
      const { query, signal } = request;
      await files.putArchive(request.name, pathOf(request), readAhead(request.incoming), {
        noOverwriteDirNonDir: query.flag("noOverwriteDirNonDir"),
        copyUidGid: query.flag("copyUIDGID"),
        signal,
      });
      return { kind: "empty", status: 200, headers: { "Content-Length": "0" } };
    }),
  ];
}
