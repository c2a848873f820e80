/**
 * The fields of the first record of a text, as flags take them: separated by commas; one that begins with a quote may have commas and
 * line breaks, and quotes that are doubled. @see RFC 4180
 * @throws Error in docker's words: `parse error on line 1, column 5: bare " in non-quoted-field`
 */
export function csvFields(text: string): readonly string[] {
  const rest = text.replace(/^(?:\r?\n)+/, "");
  if (rest === "") throw new Error("EOF");
  const fields: string[] = [];
  for (let at = 0; ; ) {
    const { value, end } = rest[at] === '"' ? quoted(rest, at) : bare(rest, at);
    fields.push(value);
    if (rest[end] !== ",") return fields;
    at = end + 1;
  }
}

interface Field {
  readonly value: string;
  /** Where its comma is, or the end of the record. */
  readonly end: number;
}

function bare(text: string, start: number): Field {
  const [value = ""] = text.slice(start).match(/^[^,\n]*/) ?? [];
  const quote = value.indexOf('"');
  if (quote >= 0) throw parseError(text, start + quote, 'bare " in non-quoted-field');
  const end = start + value.length;
  return { value: text[end] === "\n" ? value.replace(/\r$/, "") : value, end };
}

function quoted(text: string, start: number): Field {
  const [whole = '"'] = text.slice(start).match(/^"(?:[^"]|"")*/) ?? [];
  const end = start + whole.length;
  const isClosed = text[end] === '"' && /^(?:,|\r?\n|$)/.test(text.slice(end + 1));
  if (!isClosed) throw parseError(text, end, 'extraneous or missing " in quoted-field');
  return { value: whole.slice(1).replaceAll('""', '"').replaceAll("\r\n", "\n"), end: end + 1 };
}

/** Columns count bytes. */
function parseError(text: string, at: number, what: string): Error {
  const lines = text.slice(0, at).split("\n");
  const place = `parse error on line ${lines.length}, column ${Buffer.byteLength(lines.at(-1) ?? "") + 1}: ${what}`;
  return new Error(lines.length > 1 ? `record on line 1; ${place}` : place);
}
