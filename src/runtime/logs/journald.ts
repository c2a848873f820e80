import { DhowError, formatTime, randomId } from "../../lib/mod.ts";
import { sealedMemoryFile } from "../../linux/mod.ts";
import { chosenAttributes, type LogSubject, logTag } from "./attributes.ts";
import { DatagramConnection } from "./datagrams.ts";
import type { LogMessage } from "./message.ts";
import { ATTRIBUTE_OPTIONS, invalidOption, type LogOptions } from "./option-values.ts";
import { type LogReceiver, retryForEver } from "./receiver.ts";

const SOCKET = "/run/systemd/journal/socket";
const PRIORITY = { stdout: "6", stderr: "3" } as const;

/** @throws invalid in docker's words */
export function validateJournaldOptions(options: LogOptions): void {
  for (const key of Object.keys(options)) {
    if (!ATTRIBUTE_OPTIONS.includes(key)) throw invalidOption(`unknown log opt '${key}' for journald log driver`);
  }
}

/** docker's `journald` driver. @throws invalid for a bad tag or expression */
export function createJournaldReceiver(options: LogOptions, subject: LogSubject, path = SOCKET): LogReceiver {
  const connection = new DatagramConnection({ kind: "unixgram", path });
  const encoder = new JournalEncoder(journalFields(options, subject));
  const asFile = (data: Uint8Array) => sealedMemoryFile("journal-entry", data);
  return {
    connect: async () => {
      try {
        await connection.connect();
      } catch (cause) {
        throw new DhowError("unavailable", "journald is not enabled on this host", { cause });
      }
    },
    send: (messages, signal) => connection.sendAll(messages, (message) => [{ data: encoder.encode(message), asFile }], signal),
    close: () => connection.close(),
    retryDelayMs: retryForEver,
    isRequired: false,
    isCheckedAtStart: true,
  };
}

function journalFields(options: LogOptions, subject: LogSubject): Record<string, string> {
  const tag = logTag(options, subject);
  return {
    CONTAINER_ID: subject.id.slice(0, 12),
    CONTAINER_ID_FULL: subject.id,
    CONTAINER_NAME: subject.name,
    CONTAINER_TAG: tag,
    IMAGE_NAME: subject.imageName,
    SYSLOG_IDENTIFIER: tag,
    CONTAINER_LOG_EPOCH: randomId(),
    ...chosenAttributes(options, subject, journalName),
  };
}

/** A name as the journal takes it: upper case, digits, underscores, none of these first. */
export function journalName(name: string): string {
  return name
    .toUpperCase()
    .replace(/[^A-Z0-9]/g, "_")
    .replace(/^_+/, "");
}

/** Encodes messages in the journal's native protocol. @see https://systemd.io/JOURNAL_NATIVE_PROTOCOL */
export class JournalEncoder {
  readonly #fixed: Buffer;
  #ordinal = 0;

  constructor(fields: Readonly<Record<string, string>>) {
    this.#fixed = Buffer.concat(Object.entries(fields).map(([name, value]) => field(name, Buffer.from(value))));
  }

  encode({ stream, line, timeNs, partial }: LogMessage): Buffer {
    const text = (name: string, value: string): Buffer => field(name, Buffer.from(value));
    return Buffer.concat([
      text("PRIORITY", PRIORITY[stream]),
      field("MESSAGE", line),
      this.#fixed,
      text("SYSLOG_TIMESTAMP", formatTime(timeNs)),
      text("CONTAINER_LOG_ORDINAL", String(++this.#ordinal)),
      ...(partial === undefined
        ? []
        : [
            text("CONTAINER_PARTIAL_ID", partial.id),
            text("CONTAINER_PARTIAL_ORDINAL", String(partial.ordinal)),
            text("CONTAINER_PARTIAL_LAST", String(partial.isLast)),
            ...(partial.isLast ? [] : [text("CONTAINER_PARTIAL_MESSAGE", "true")]),
          ]),
    ]);
  }
}

/** `NAME=value\n`, or for a value with newlines its name, its length (u64, little endian) and its bytes. */
function field(name: string, value: Buffer): Buffer {
  // the journal ignores a whole entry for one bad name
  if (name === "") return Buffer.alloc(0);
  if (!value.includes(10)) return Buffer.concat([Buffer.from(`${name}=`), value, Buffer.from("\n")]);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(value.length));
  return Buffer.concat([Buffer.from(`${name}\n`), length, value, Buffer.from("\n")]);
}
