import { inflateRawSync } from "node:zlib";
import { BLOCK, readTar, type TarInput, writeTar } from "../../lib/mod.ts";
import type { WholeContext } from "./docker-endpoint.ts";
import { parseMeta, type TlsFiles } from "./store.ts";

/** Docker refuses more than 10 MB. */
const MAX_BYTES = 10 * 1024 * 1024;

/** A context as docker exports it: `meta.json` and `tls/<endpoint>/<file>`. */
export async function packContext({ meta, tls }: WholeContext): Promise<Uint8Array> {
  const file = (name: string, mode: number, text: string): TarInput => {
    const payload = Buffer.from(text);
    return { entry: { type: "file", name, mode, size: payload.length }, payload };
  };
  const directory = (name: string): TarInput => ({ entry: { type: "directory", name, mode: 0o700 } });
  const inputs: TarInput[] = [file("meta.json", 0o644, JSON.stringify(meta)), directory("tls")];
  for (const [endpoint, files] of Object.entries(tls)) {
    inputs.push(directory(`tls/${endpoint}`));
    for (const [name, text] of Object.entries(files)) inputs.push(file(`tls/${endpoint}/${name}`, 0o600, text));
  }
  const chunks: Uint8Array[] = [];
  for await (const chunk of writeTar(inputs)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Reads what `packContext`, or docker, has made: a tar or a zip. @throws Error in docker's words */
export async function unpackContext(bytes: Uint8Array, name: string): Promise<WholeContext> {
  if (bytes.length > MAX_BYTES) throw new Error(`read exceeds the defined limit`);
  const isZip = Buffer.from(bytes.subarray(0, 4)).equals(Buffer.from("PK\x03\x04", "latin1"));
  const files = isZip ? zipFiles(Buffer.from(bytes)) : await tarFiles(bytes);
  const tls: Record<string, Record<string, string>> = {};
  let meta: WholeContext["meta"] | undefined;
  for (const [path, text] of files) {
    if (path === "meta.json") {
      meta = parseMeta(text, path);
      continue;
    }
    const [root, endpoint = "", file = "", ...rest] = path.split("/");
    const isPlain = [endpoint, file].every((part) => part !== "" && part !== "." && part !== ".." && !part.includes("\\"));
    if (root !== "tls" || rest.length > 0 || !isPlain) throw new Error("unexpected context file");
    tls[endpoint] = { ...tls[endpoint], [file]: text } satisfies TlsFiles;
  }
  if (meta === undefined) throw new Error("invalid context: no metadata found");
  return { meta: { ...meta, Name: name }, tls };
}

type Files = readonly (readonly [path: string, text: string])[];

async function tarFiles(bytes: Uint8Array): Promise<Files> {
  const files: [string, string][] = [];
  const source = async function* (): AsyncGenerator<Uint8Array> {
    yield bytes;
    // docker's end with the last file's last byte: neither a full block nor the two empty ones
    yield new Uint8Array(((BLOCK - (bytes.length % BLOCK)) % BLOCK) + 2 * BLOCK);
  };
  for await (const { header, payload } of readTar(source())) {
    if (header.type === "directory") continue;
    if (header.type !== "file") throw new Error("unexpected context file");
    const chunks: Uint8Array[] = [];
    for await (const chunk of payload) chunks.push(chunk);
    files.push([header.name.replace(/^\.\//, ""), Buffer.concat(chunks).toString()]);
  }
  return files;
}

const CENTRAL = 0x02014b50;
const END = 0x06054b50;
const END_BYTES = 22;
const STORED = 0;
const DEFLATED = 8;

/** The files of a zip by its central directory. @see https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT sections 4.3 and 4.4 */
function zipFiles(zip: Buffer): Files {
  let end = zip.length - END_BYTES;
  while (end >= 0 && zip.readUInt32LE(end) !== END) end--;
  if (end < 0) throw new Error("zip: not a valid zip file");
  const files: [string, string][] = [];
  let left = MAX_BYTES;
  let at = zip.readUInt32LE(end + 16);
  for (let count = zip.readUInt16LE(end + 10); count > 0; count--) {
    if (zip.readUInt32LE(at) !== CENTRAL) throw new Error("zip: not a valid zip file");
    const [nameLength, extraLength, commentLength] = [zip.readUInt16LE(at + 28), zip.readUInt16LE(at + 30), zip.readUInt16LE(at + 32)];
    const path = zip.toString("utf8", at + 46, at + 46 + nameLength);
    if (!path.endsWith("/")) {
      const text = zipPayload(zip, {
        method: zip.readUInt16LE(at + 10),
        size: zip.readUInt32LE(at + 20),
        local: zip.readUInt32LE(at + 42),
        left,
      });
      left -= text.length;
      files.push([path, text.toString()]);
    }
    at += 46 + nameLength + extraLength + commentLength;
  }
  return files;
}

function zipPayload(
  zip: Buffer,
  { method, size, local, left }: { readonly method: number; readonly size: number; readonly local: number; readonly left: number },
): Buffer {
  const start = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28);
  const data = zip.subarray(start, start + size);
  if (method === STORED) return data;
  if (method === DEFLATED) return inflateRawSync(data, { maxOutputLength: Math.max(1, left) });
  throw new Error("zip: unsupported compression algorithm");
}
