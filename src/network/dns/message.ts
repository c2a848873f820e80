/**
 * DNS messages, as far as a server of names and a forwarder needs them: what comes in is looked at in place and passed on as it is.
 *
 * ```
 * message  = header (12), questions, answers, authority, additional
 * header   = u16 id, u16 flags, u16 count of each of the four
 * question = name, u16 type, u16 class
 * record   = name, u16 type, u16 class, u32 time to live, u16 length, data
 * name     = labels (length, bytes), then a zero; or, from anywhere on, a pointer (0xc0 | offset) to an earlier name
 * ```
 *
 * @see RFC 1035 section 4, RFC 6891 (EDNS)
 */

const HEADER_LENGTH = 12;
const QUESTION_TAIL = 4;
const RECORD_TAIL = 10;
const OPT_LENGTH = 11;
const MAX_LABEL = 63;
const MAX_NAME = 255;
const POINTER = 0xc0;
/** A pointer to the name of the question. */
const POINTER_TO_QUESTION = 0xc00c;
/** What a client takes over UDP that says nothing else. */
const PLAIN_UDP_BYTES = 512;
/** What this server takes over UDP; see the DNS flag day 2020. */
const OWN_UDP_BYTES = 1232;

const FLAG = { QR: 0x8000, OPCODE: 0x7800, TC: 0x0200, RD: 0x0100, RA: 0x0080, CD: 0x0010, RCODE: 0x000f } as const;
const CLASS_IN = 1;
const DNSSEC_OK = 0x8000;

/** @see https://www.iana.org/assignments/dns-parameters */
export const TYPE = { A: 1, PTR: 12, AAAA: 28, OPT: 41 } as const;
/** @see https://www.iana.org/assignments/dns-parameters */
export const RCODE = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5 } as const;

/** A query with one question. */
export interface Query {
  readonly id: number;
  /** In lower case without a final dot; dots and unprintable bytes inside a label as `\046`. Empty: the root. */
  readonly name: string;
  readonly type: number;
  /** Of class IN, the Internet. */
  readonly isInternet: boolean;
  /** Where the question ends, which begins behind the header. */
  readonly questionEnd: number;
  /** EDNS: the bytes that the client takes over UDP, and whether it asks for DNSSEC's records. */
  readonly edns: { readonly udpBytes: number; readonly isDnssecOk: boolean } | undefined;
}

/** What was received: a query, one that gets only an error, or, undefined, what gets no answer at all. */
export type Received = { readonly query: Query } | { readonly refusal: Buffer } | undefined;

const u16 = (bytes: Buffer, at: number): number => ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);

/** Where a name that begins at `at` ends; -1 when it is malformed. Pointers are not followed. */
function skipName(bytes: Buffer, at: number): number {
  for (let next = at; next < bytes.length; ) {
    const length = bytes[next] ?? 0;
    if (length === 0) return next + 1;
    if (length >= POINTER) return next + 2 <= bytes.length ? next + 2 : -1;
    if (length > MAX_LABEL) return -1;
    next += length + 1;
  }
  return -1;
}

const isPlain = (byte: number): boolean => byte > 0x20 && byte < 0x7f && byte !== 0x2e && byte !== 0x5c;

/** A label in lower case, its odd bytes as `\DDD`: RFC 1035 section 5.1. */
function labelText(bytes: Buffer, from: number, to: number): string {
  let at = from;
  while (at < to && isPlain(bytes[at] ?? 0)) at++;
  let text = bytes.toString("latin1", from, at);
  for (; at < to; at++) {
    const byte = bytes[at] ?? 0;
    text += isPlain(byte) ? String.fromCharCode(byte) : `\\${String(byte).padStart(3, "0")}`;
  }
  return text.toLowerCase();
}

/** The name of a question, which has no pointers; undefined when it is malformed. */
function readName(bytes: Buffer, at: number): { readonly name: string; readonly end: number } | undefined {
  let name = "";
  for (let next = at; next < bytes.length; ) {
    const length = bytes[next] ?? 0;
    if (length === 0) return { name, end: next + 1 };
    const end = next + 1 + length;
    if (length > MAX_LABEL || end - at >= MAX_NAME || end >= bytes.length) return undefined;
    const label = labelText(bytes, next + 1, end);
    name = name === "" ? label : `${name}.${label}`;
    next = end;
  }
  return undefined;
}

interface RecordAt {
  readonly type: number;
  readonly class: number;
  readonly ttl: number;
  readonly dataAt: number;
  readonly end: number;
}

/** The record that begins at `at`; undefined when the message is malformed there. */
function readRecord(bytes: Buffer, at: number): RecordAt | undefined {
  const tail = skipName(bytes, at);
  if (tail < 0 || tail + RECORD_TAIL > bytes.length) return undefined;
  const dataAt = tail + RECORD_TAIL;
  const end = dataAt + u16(bytes, tail + 8);
  if (end > bytes.length) return undefined;
  return { type: u16(bytes, tail), class: u16(bytes, tail + 2), ttl: bytes.readUInt32BE(tail + 4), dataAt, end };
}

/** What a query says in its OPT record, which may be the only one behind the question or follow others. */
function readEdns(bytes: Buffer, questionEnd: number): Query["edns"] {
  const count = u16(bytes, 6) + u16(bytes, 8) + u16(bytes, 10);
  for (let i = 0, at = questionEnd; i < count; i++) {
    const record = readRecord(bytes, at);
    if (record === undefined) return undefined;
    if (record.type === TYPE.OPT) return { udpBytes: record.class, isDnssecOk: (record.ttl & DNSSEC_OK) !== 0 };
    at = record.end;
  }
  return undefined;
}

/** Looks at a message from a client. */
export function readQuery(bytes: Buffer): Received {
  const flags = u16(bytes, 2);
  if (bytes.length < HEADER_LENGTH || flags & FLAG.QR) return undefined;
  if (flags & FLAG.OPCODE) return { refusal: bareError(bytes, RCODE.NOTIMP) };
  const question = u16(bytes, 4) === 1 ? readName(bytes, HEADER_LENGTH) : undefined;
  const questionEnd = question === undefined ? 0 : question.end + QUESTION_TAIL;
  if (question === undefined || questionEnd > bytes.length) return { refusal: bareError(bytes, RCODE.FORMERR) };
  return {
    query: {
      id: u16(bytes, 0),
      name: question.name,
      type: u16(bytes, question.end),
      isInternet: u16(bytes, question.end + 2) === CLASS_IN,
      questionEnd,
      edns: readEdns(bytes, questionEnd),
    },
  };
}

/** An answer of a header alone, for what can't be read. */
function bareError(bytes: Buffer, rcode: number): Buffer {
  const answer = Buffer.alloc(HEADER_LENGTH);
  answer.writeUInt16BE(u16(bytes, 0), 0);
  answer.writeUInt16BE(FLAG.QR | (u16(bytes, 2) & (FLAG.OPCODE | FLAG.RD)) | rcode, 2);
  return answer;
}

/** The bytes that a client takes over UDP. */
export function udpLimitOf(query: Query): number {
  return Math.max(PLAIN_UDP_BYTES, query.edns?.udpBytes ?? 0);
}

/** A record of an answer, of the name that was asked for. */
export interface AnswerRecord {
  readonly type: number;
  readonly ttl: number;
  readonly data: Uint8Array;
}

export interface AnswerOptions {
  readonly rcode?: number;
  readonly records?: readonly AnswerRecord[];
  /** What doesn't fit is left out, and the answer marked as truncated. */
  readonly limitBytes: number;
  /** Marks it as truncated in any case. */
  readonly isTruncated?: boolean;
  /** Where it is written; left out: into memory of its own. */
  readonly into?: ((length: number) => Buffer) | undefined;
}

/** Writes an answer of our own; the question is repeated as it was written, upper case and all. */
export function writeAnswer(message: Buffer, query: Query, options: AnswerOptions): Buffer {
  const { records = [], rcode = RCODE.NOERROR, limitBytes } = options;
  const optLength = query.edns === undefined ? 0 : OPT_LENGTH;
  let length = query.questionEnd;
  let count = 0;
  for (const record of records) {
    const next = length + 2 + RECORD_TAIL + record.data.length;
    if (next + optLength > limitBytes) break;
    length = next;
    count++;
  }
  const answer = (options.into ?? Buffer.allocUnsafe)(length + optLength);
  message.copy(answer, 0, 0, query.questionEnd);
  const isTruncated = options.isTruncated === true || count < records.length;
  const flags = (u16(message, 2) & (FLAG.RD | FLAG.CD)) | FLAG.QR | FLAG.RA | (isTruncated ? FLAG.TC : 0) | rcode;
  answer.writeUInt16BE(query.id, 0);
  answer.writeUInt16BE(flags, 2);
  answer.writeUInt16BE(count, 6);
  answer.writeUInt16BE(0, 8);
  answer.writeUInt16BE(optLength === 0 ? 0 : 1, 10);
  let at = query.questionEnd;
  for (let i = 0; i < count; i++) at = writeRecord(answer, at, records[i]);
  if (query.edns !== undefined) writeOpt(answer, at, query.edns.isDnssecOk);
  return answer;
}

function writeRecord(answer: Buffer, at: number, record: AnswerRecord | undefined): number {
  if (record === undefined) return at;
  const { type, ttl, data } = record;
  answer.writeUInt16BE(POINTER_TO_QUESTION, at);
  answer.writeUInt16BE(type, at + 2);
  answer.writeUInt16BE(CLASS_IN, at + 4);
  answer.writeUInt32BE(ttl, at + 6);
  answer.writeUInt16BE(data.length, at + 10);
  answer.set(data, at + 12);
  return at + 12 + data.length;
}

function writeOpt(answer: Buffer, at: number, isDnssecOk: boolean): void {
  answer[at] = 0;
  answer.writeUInt16BE(TYPE.OPT, at + 1);
  answer.writeUInt16BE(OWN_UDP_BYTES, at + 3);
  answer.writeUInt32BE(isDnssecOk ? DNSSEC_OK : 0, at + 5);
  answer.writeUInt16BE(0, at + 9);
}

/** A name as its labels; undefined when it can't be written, as with a label of more than 63 bytes. */
export function encodeName(name: string): Uint8Array | undefined {
  const labels = name.split(".").map((label) => Buffer.from(label));
  if (labels.some(({ length }) => length === 0 || length > MAX_LABEL)) return undefined;
  const bytes = Buffer.concat([...labels.flatMap((label) => [Uint8Array.of(label.length), label]), Uint8Array.of(0)]);
  return bytes.length > MAX_NAME ? undefined : bytes;
}

/**
 * Whether a message answers this query: an answer, to the same question, in whatever case it is written. An error may come without a
 * question. The id is the caller's to compare.
 */
export function isAnswerTo(answer: Buffer, message: Buffer, query: Query): boolean {
  if (answer.length < HEADER_LENGTH || (u16(answer, 2) & (FLAG.QR | FLAG.OPCODE)) !== FLAG.QR) return false;
  if (u16(answer, 4) === 0) return rcodeOf(answer) !== RCODE.NOERROR;
  if (u16(answer, 4) !== 1 || answer.length < query.questionEnd) return false;
  for (let at = HEADER_LENGTH; at < query.questionEnd; at++) {
    if (answer[at] !== message[at] && lowerCase(answer[at]) !== lowerCase(message[at])) return false;
  }
  return true;
}

// lengths of labels are below 64, so that this leaves them alone
const lowerCase = (byte = 0): number => (byte >= 0x41 && byte <= 0x5a ? byte + 32 : byte);

/** The id of a message of at least two bytes. */
export function idOf(message: Buffer): number {
  return u16(message, 0);
}

/** Gives a message another id. */
export function setId(message: Buffer, id: number): void {
  message.writeUInt16BE(id, 0);
}

/** The answer's code, without the part that EDNS adds. */
export function rcodeOf(answer: Buffer): number {
  return u16(answer, 2) & FLAG.RCODE;
}

/** What an answer says of addresses: those of all A and AAAA records, and the least time to live. Undefined when it is malformed. */
export function readAddresses(
  answer: Buffer,
  query: Query,
): { readonly addresses: readonly Uint8Array[]; readonly ttlSeconds: number } | undefined {
  const addresses: Uint8Array[] = [];
  const count = u16(answer, 6);
  let ttlSeconds = Number.POSITIVE_INFINITY;
  for (let i = 0, at = query.questionEnd; i < count; i++) {
    const record = readRecord(answer, at);
    if (record === undefined) return undefined;
    at = record.end;
    // a time to live with its first bit set counts as zero: RFC 2181 section 8
    ttlSeconds = Math.min(ttlSeconds, record.ttl > 0x7fffffff ? 0 : record.ttl);
    const size = record.end - record.dataAt;
    const isAddress = (record.type === TYPE.A && size === 4) || (record.type === TYPE.AAAA && size === 16);
    if (isAddress && record.class === CLASS_IN) addresses.push(Uint8Array.from(answer.subarray(record.dataAt, record.end)));
  }
  return { addresses, ttlSeconds: count === 0 ? 0 : ttlSeconds };
}
