import { promisify } from "node:util";
import { DhowError, errorMessage } from "../../lib/mod.ts";
import { chosenAttributes, type LogSubject, logTag } from "./attributes.ts";
import { StreamConnection } from "./connection.ts";
import { DatagramConnection } from "./datagrams.ts";
import type { LogMessage } from "./message.ts";
import { ATTRIBUTE_OPTIONS, invalidOption, type LogOptions, parseAddressUrl, parseInteger, splitAuthority } from "./option-values.ts";
import { type LogReceiver, retryForEver } from "./receiver.ts";

const LEVEL = { stdout: 6, stderr: 3 } as const;
const CONNECT_TIMEOUT_MS = 30_000;
/** The largest datagram, with the twelve bytes of a chunk's head. */
const CHUNK_BYTES = 1420;
const CHUNK_HEAD_BYTES = 12;
const CHUNK_DATA_BYTES = CHUNK_BYTES - CHUNK_HEAD_BYTES;
const MAX_CHUNKS = 128;
const RECONNECT_DELAY_S = 1;
const BEST_SPEED = 1;
const END = Buffer.of(0);

interface GelfAddress {
  readonly protocol: "udp" | "tcp";
  readonly host: string;
  readonly port: number;
}

/** @throws invalid in docker's words */
export function validateGelfOptions(options: LogOptions): void {
  const { protocol } = parseAddress(options["gelf-address"] ?? "");
  for (const [key, value] of Object.entries(options)) {
    if (ATTRIBUTE_OPTIONS.includes(key) || key === "gelf-address") continue;
    const unknown = (): DhowError =>
      invalidOption(`unknown value ${JSON.stringify(value)} for log opt ${JSON.stringify(key)} for gelf log driver`);
    const number = parseInteger(value);
    switch (key) {
      case "gelf-compression-level":
      case "gelf-compression-type":
        if (protocol !== "udp") throw invalidOption("compression is only supported on UDP");
        if (key === "gelf-compression-level" && (number === undefined || number < -1 || number > 9)) throw unknown();
        if (key === "gelf-compression-type" && !["gzip", "zlib", "none"].includes(value)) throw unknown();
        break;
      case "gelf-tcp-max-reconnect":
      case "gelf-tcp-reconnect-delay":
        if (protocol !== "tcp") throw invalidOption(`${JSON.stringify(key)} is only valid for TCP`);
        if (number === undefined || number < 0) throw invalidOption(`${JSON.stringify(key)} must be a positive integer`);
        break;
      default:
        throw invalidOption(`unknown log opt ${JSON.stringify(key)} for gelf log driver`);
    }
  }
}

function parseAddress(text: string): GelfAddress {
  if (text === "") throw invalidOption("gelf-address is a required parameter");
  const { scheme, authority } = parseAddressUrl(text);
  if (scheme !== "udp" && scheme !== "tcp") throw invalidOption("gelf: endpoint needs to be TCP or UDP");
  if (!/^(\[[^\]]*\]|[^:]*):\d*$/.test(authority)) throw invalidOption("gelf: please provide gelf-address as proto://host:port");
  const { host, port } = splitAuthority(authority);
  return { protocol: scheme, host: host || "127.0.0.1", port: Number(port) };
}

/** docker's `gelf` driver: Graylog's format, version 1.1. @throws invalid for a bad tag or expression @see https://go2docs.graylog.org/current/getting_in_log_data/gelf.html */
export function createGelfReceiver(options: LogOptions, subject: LogSubject): LogReceiver {
  const address = parseAddress(options["gelf-address"] ?? "");
  const encoder = new GelfEncoder(options, subject);
  return address.protocol === "udp" ? overUdp(address, encoder, options) : overTcp(address, encoder, options);
}

function dialFailed(address: GelfAddress, cause: unknown): DhowError {
  return new DhowError("unavailable", `gelf: cannot connect to GELF endpoint: ${address.host}:${address.port} ${errorMessage(cause)}`, {
    cause,
  });
}

function overUdp(address: GelfAddress, encoder: GelfEncoder, options: LogOptions): LogReceiver {
  const connection = new DatagramConnection({ kind: "udp", host: address.host, port: address.port });
  const level = parseInteger(options["gelf-compression-level"] ?? "") ?? BEST_SPEED;
  const pack = packer(options["gelf-compression-type"] ?? "gzip", level);
  return {
    connect: async () => {
      await connection.connect().catch((cause: unknown) => {
        throw dialFailed(address, cause);
      });
    },
    send: (messages, signal) =>
      connection.sendAll(
        messages,
        async (message) => (message.line.length === 0 ? [] : chunks(await pack(encoder.encode(message)))),
        signal,
      ),
    close: () => connection.close(),
    retryDelayMs: retryForEver,
    isRequired: false,
    isCheckedAtStart: true,
  };
}

function packer(kind: string, level: number): (data: Buffer) => Promise<Buffer> {
  if (kind === "none") return (data) => Promise.resolve(data);
  return async (data) => {
    const { gzip, deflate } = await import("node:zlib");
    return promisify<Buffer, { level: number }, Buffer>(kind === "zlib" ? deflate : gzip)(data, { level });
  };
}

/** A message as it is, or in chunks when it is too large for a datagram; one that needs too many chunks is left out, as docker does. */
export function chunks(data: Buffer): Buffer[] {
  if (data.length <= CHUNK_BYTES) return [data];
  const count = Math.ceil(data.length / CHUNK_DATA_BYTES);
  if (count > MAX_CHUNKS) return [];
  const id = crypto.getRandomValues(new Uint8Array(8));
  return Array.from({ length: count }, (_, i) => {
    const head = Buffer.from([0x1e, 0x0f, ...id, i, count]);
    return Buffer.concat([head, data.subarray(i * CHUNK_DATA_BYTES, (i + 1) * CHUNK_DATA_BYTES)]);
  });
}

function overTcp(address: GelfAddress, encoder: GelfEncoder, options: LogOptions): LogReceiver {
  const { host, port } = address;
  const connection = new StreamConnection({ endpoint: { kind: "tcp", host, port, tls: undefined }, connectTimeoutMs: CONNECT_TIMEOUT_MS });
  const maxReconnects = parseInteger(options["gelf-tcp-max-reconnect"] ?? "");
  const delayMs = (parseInteger(options["gelf-tcp-reconnect-delay"] ?? "") ?? RECONNECT_DELAY_S) * 1000;
  return {
    connect: async (signal) => {
      await connection.connect(signal).catch((cause: unknown) => {
        throw dialFailed(address, cause);
      });
    },
    send: async (messages, signal) => {
      const wanted = messages.filter((message) => message.line.length > 0);
      if (wanted.length > 0) await connection.write(Buffer.concat(wanted.flatMap((message) => [encoder.encode(message), END])), signal);
    },
    close: () => connection.close(),
    // docker gives messages up after three tries; here they wait in the local log unless a number is asked for
    retryDelayMs: (failures) => (maxReconnects !== undefined && failures > maxReconnects ? undefined : delayMs),
    isRequired: false,
    isCheckedAtStart: true,
  };
}

/** Makes the JSON of messages. */
export class GelfEncoder {
  readonly #host: string;
  readonly #extra: string;

  constructor(options: LogOptions, subject: LogSubject) {
    this.#host = JSON.stringify(subject.hostname);
    const extra = {
      _container_id: subject.id,
      _container_name: subject.name,
      _image_id: subject.imageId,
      _image_name: subject.imageName,
      _command: subject.command.join(" "),
      _tag: logTag(options, subject),
      _created: subject.created,
      ...chosenAttributes(options, subject, (name) => (name.startsWith("_") ? name : `_${name}`)),
    };
    const sorted = Object.entries(extra).sort(([a], [b]) => (a < b ? -1 : 1));
    this.#extra = JSON.stringify(Object.fromEntries(sorted)).slice(1, -1);
  }

  encode({ stream, line, timeNs }: Pick<LogMessage, "stream" | "line" | "timeNs">): Buffer {
    const time = Number(timeNs / 1_000_000n) / 1000;
    return Buffer.from(
      `{"version":"1.1","host":${this.#host},"short_message":${JSON.stringify(line.toString())},"timestamp":${time},"level":${LEVEL[stream]},${this.#extra}}`,
    );
  }
}
