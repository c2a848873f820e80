const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const HEX = Buffer.from("0123456789abcdef");
const INVALID = Buffer.from("\\ufffd");

/** No byte becomes longer than this. */
export const MAX_ESCAPED_BYTES = 6;

/** 1 for the bytes that stay as they are. */
const PLAIN = Uint8Array.from({ length: 256 }, (_, byte) =>
  byte >= 0x20 && byte < 0x80 && !'"\\<>&'.includes(String.fromCharCode(byte)) ? 1 : 0,
);

/**
 * Writes the bytes `from`…`to` of `source` to `out` at `at`, escaped as inside of a string of docker's log entries: `<`, `>`, `&`,
 * U+2028 and U+2029 are escaped, too, and each byte that is no UTF-8 becomes `\ufffd`. Returns the end. `out` must have room for
 * `MAX_ESCAPED_BYTES` times the length.
 */
export function escapeInto(source: Uint8Array, from: number, to: number, out: Uint8Array, at: number): number {
  let end = at;
  for (let i = from; i < to; i++) {
    const byte = source[i] ?? 0;
    if (PLAIN[byte] === 1) {
      out[end++] = byte;
      continue;
    }
    if (byte < 0x80) {
      end = escapeAscii(byte, out, end);
      continue;
    }
    const length = sequenceLength(source, i, to);
    if (length === 0) {
      out.set(INVALID, end);
      end += INVALID.length;
      continue;
    }
    const last = source[i + 2] ?? 0;
    if (byte === 0xe2 && source[i + 1] === 0x80 && (last === 0xa8 || last === 0xa9)) {
      out[end++] = BACKSLASH;
      out[end++] = 0x75;
      out[end++] = 0x32;
      out[end++] = 0x30;
      out[end++] = 0x32;
      out[end++] = last === 0xa8 ? 0x38 : 0x39;
    } else for (let k = 0; k < length; k++) out[end++] = source[i + k] ?? 0;
    i += length - 1;
  }
  return end;
}

function escapeAscii(byte: number, out: Uint8Array, at: number): number {
  let end = at;
  out[end++] = BACKSLASH;
  if (byte === 0x0a) out[end++] = 0x6e;
  else if (byte === 0x0d) out[end++] = 0x72;
  else if (byte === QUOTE || byte === BACKSLASH) out[end++] = byte;
  else {
    out[end++] = 0x75;
    out[end++] = 0x30;
    out[end++] = 0x30;
    out[end++] = HEX[byte >> 4] ?? 0;
    out[end++] = HEX[byte & 15] ?? 0;
  }
  return end;
}

/** How many bytes the UTF-8 sequence that begins at `at` has; 0 when it is none. Table 3-7 of the Unicode standard. */
function sequenceLength(source: Uint8Array, at: number, to: number): number {
  const first = source[at] ?? 0;
  const length = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  if (at + length > to || length === 0) return 0;
  const second = source[at + 1] ?? 0;
  const low = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
  const high = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
  if (second < low || second > high) return 0;
  for (let k = 2; k < length; k++) if (((source[at + k] ?? 0) & 0xc0) !== 0x80) return 0;
  return length;
}
