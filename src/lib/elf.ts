/** What an executable says of itself before it runs. @see elf(5) */
export interface ElfInfo {
  /** In Docker's words: `amd64`, `arm64`, …; `unknown (N)` for others. */
  readonly architecture: string;
  /** The dynamic loader that the kernel starts in its place; undefined for a static program. */
  readonly interpreter: string | undefined;
}

const PT_INTERP = 3;
/** e_machine, with the word size where that tells two apart. */
const MACHINES: Readonly<Record<number, string>> = {
  3: "386",
  8: "mips64le",
  21: "ppc64le",
  22: "s390x",
  40: "arm",
  62: "amd64",
  183: "arm64",
  243: "riscv64",
  258: "loong64",
};
const HEADER_BYTES = 64;
const MOST_HEADERS = 256;
const LONGEST_PATH = 4096;

/** Reads up to `length` bytes at `offset` of a file. */
export type ReadAt = (offset: number, length: number) => Uint8Array;

/** Reads an ELF file's headers; undefined for what is no ELF file, or is cut off. Offsets come from the file: nothing is trusted. */
export function readElf(readAt: ReadAt): ElfInfo | undefined {
  const head = readAt(0, HEADER_BYTES);
  if (head.length < HEADER_BYTES || head[0] !== 0x7f || head[1] !== 0x45 || head[2] !== 0x4c || head[3] !== 0x46) return undefined;
  const is64 = head[4] === 2;
  const isLittle = head[5] === 1;
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const machine = view.getUint16(18, isLittle);
  const architecture = MACHINES[machine] ?? `unknown (${machine})`;
  const tableAt = is64 ? Number(view.getBigUint64(32, isLittle)) : view.getUint32(28, isLittle);
  const entryBytes = view.getUint16(is64 ? 54 : 42, isLittle);
  const entries = Math.min(view.getUint16(is64 ? 56 : 44, isLittle), MOST_HEADERS);
  if (entryBytes < (is64 ? 56 : 32) || !Number.isSafeInteger(tableAt)) return { architecture, interpreter: undefined };
  const table = readAt(tableAt, entryBytes * entries);
  const rows = new DataView(table.buffer, table.byteOffset, table.byteLength);
  for (let at = 0; at + entryBytes <= table.length; at += entryBytes) {
    if (rows.getUint32(at, isLittle) !== PT_INTERP) continue;
    const offset = is64 ? Number(rows.getBigUint64(at + 8, isLittle)) : rows.getUint32(at + 4, isLittle);
    const length = is64 ? Number(rows.getBigUint64(at + 32, isLittle)) : rows.getUint32(at + 16, isLittle);
    if (!Number.isSafeInteger(offset) || length > LONGEST_PATH) return { architecture, interpreter: undefined };
    const text = Buffer.from(readAt(offset, length)).toString("latin1");
    return { architecture, interpreter: text.replace(/\0.*$/s, "") };
  }
  return { architecture, interpreter: undefined };
}
