const ESCAPE = 0xdc00;
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * The text of a name's bytes. Names in archives and file systems are bytes: what is no UTF-8 becomes lone surrogates
 * U+DC80 to U+DCFF (as Python's "surrogateescape" does), so that `encodeName` gives back the same bytes.
 */
export function decodeName(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (isAscii(buffer)) return buffer.toString("latin1");
  try {
    return strict.decode(buffer);
  } catch {
    return escapeInvalid(buffer);
  }
}

/** Whether no byte is escaped in it. Node.js 18, on which the SDK runs, has no `isWellFormed`. */
function isPlain(name: string): boolean {
  return name.isWellFormed?.() ?? !/\p{Surrogate}/u.test(name);
}

/** The bytes of a name: the string itself when it is plain text (whoever takes it encodes UTF-8), bytes when it holds escaped ones. */
export function encodeName(name: string): string | Uint8Array {
  return isPlain(name) ? name : nameBytes(name);
}

/** The bytes of a name, always as bytes. */
export function nameBytes(name: string): Uint8Array {
  if (isPlain(name)) return Buffer.from(name);
  const parts: Uint8Array[] = [];
  // with the u flag a lone surrogate is a character of its own and a pair is not split
  for (const part of name.split(/([\ud800-\udfff])/u)) {
    const code = part.length === 1 ? part.charCodeAt(0) : 0;
    parts.push(code >= ESCAPE + 0x80 && code <= ESCAPE + 0xff ? Uint8Array.of(code - ESCAPE) : Buffer.from(part));
  }
  return Buffer.concat(parts);
}

function isAscii(buffer: Buffer): boolean {
  for (let i = 0; i < buffer.length; i++) if ((buffer[i] ?? 0) > 0x7f) return false;
  return true;
}

function escapeInvalid(buffer: Buffer): string {
  let text = "";
  for (let at = 0; at < buffer.length; ) {
    const length = sequenceLength(buffer, at);
    if (length > 0) {
      text += buffer.toString("utf8", at, at + length);
      at += length;
    } else {
      text += String.fromCharCode(ESCAPE + (buffer[at] ?? 0));
      at++;
    }
  }
  return text;
}

/** The length of the UTF-8 sequence at `at`; 0 when there is none. */
function sequenceLength(buffer: Buffer, at: number): number {
  const lead = buffer[at] ?? 0;
  if (lead < 0x80) return 1;
  const length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc2 ? 2 : 0;
  if (length === 0 || at + length > buffer.length) return 0;
  try {
    strict.decode(buffer.subarray(at, at + length));
    return length;
  } catch {
    return 0;
  }
}
