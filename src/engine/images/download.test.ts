import { afterAll, expect, test } from "bun:test";
import type { ProgressMessage } from "../../spec/engine/mod.ts";
import { beginDownload, withDownloadProgress } from "./download.ts";

const BODY = new Uint8Array(3 * 1024 * 1024).fill(7);
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  fetch: ({ url }) => {
    const { pathname } = new URL(url);
    if (pathname === "/rootfs.tar") return new Response(BODY);
    const status = Number(pathname.slice(1)) || 404;
    return new Response(` no ${pathname}\n`, { status });
  },
});
afterAll(() => server.stop(true));
const address = `127.0.0.1:${server.port}`;

const refused = async (source: string): Promise<unknown> =>
  beginDownload(source, undefined).then(
    () => "it came",
    ({ kind, message }: { kind: string; message: string }) => [kind, message],
  );

test("beginDownload() and withDownloadProgress() bring a file, and tell docker's lines", async () => {
  const lines: ProgressMessage[] = [];
  const chunks = await Array.fromAsync(withDownloadProgress(await beginDownload(`${address}/rootfs.tar`, undefined), (m) => lines.push(m)));
  expect(Buffer.concat(chunks).equals(BODY)).toBe(true);
  expect(lines[0]).toEqual({ status: `Downloading from http://${address}/rootfs.tar` });
  expect(lines.at(-1)).toEqual({ status: "Importing", progressDetail: { current: BODY.length, total: BODY.length } });
});

test("beginDownload() says what the server said, with the kind of its status", async () => {
  const says = (path: string, status: string): string => `failed to GET http://${address}${path} with status ${status}: no ${path}`;
  expect(await refused(`http://${address}/x.tar`)).toEqual(["notFound", says("/x.tar", "404 Not Found")]);
  expect(await refused(`${address}/%2Fx.tar`)).toEqual(["notFound", says("/%2Fx.tar", "404 Not Found")]);
  expect(await refused(`${address}/400`)).toEqual(["invalid", says("/400", "400 Bad Request")]);
  expect(await refused(`${address}/401`)).toEqual(["unauthenticated", says("/401", "401 Unauthorized")]);
  expect(await refused(`${address}/403`)).toEqual(["forbidden", says("/403", "403 Forbidden")]);
  expect(await refused(`${address}/500`)).toEqual(["internal", says("/500", "500 Internal Server Error")]);
});

test("beginDownload() refuses what is no URL, and says who can't be reached", async () => {
  expect(await refused("%2Fdata%2Ffile.tar")).toEqual(["invalid", 'parse "http://%2Fdata%2Ffile.tar": invalid URL escape "%2F"']);
  expect(await refused("file:///etc/hostname")).toEqual(["internal", 'Get "file:///etc/hostname": unsupported protocol scheme "file"']);
  expect(await refused("127.0.0.1:1/x")).toEqual([
    "internal",
    'Get "http://127.0.0.1:1/x": dial tcp 127.0.0.1:1: connect: connection refused',
  ]);
});
