import { type ElfInfo, readElf } from "../../../lib/mod.ts";
import {
  type Fd,
  fstat,
  isErrno,
  O_DIRECTORY,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  open,
  openat2,
  pread,
  RESOLVE_IN_ROOT,
  S_IFDIR,
  S_IFMT,
  S_IFREG,
} from "../../../linux/mod.ts";

/** The program that a container is to run, as its root file system has it. */
export type Program =
  | { readonly kind: "missing"; readonly path: string; readonly searched: readonly string[] }
  | { readonly kind: "directory" | "no permission"; readonly path: string }
  | {
      readonly kind: "script";
      readonly path: string;
      readonly interpreter: string;
      readonly hasInterpreter: boolean;
      readonly endsInReturn: boolean;
    }
  | { readonly kind: "elf"; readonly path: string; readonly elf: ElfInfo; readonly hasInterpreter: boolean }
  | { readonly kind: "unknown"; readonly path: string };

const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const SHEBANG_BYTES = 256;

export interface ProgramRequest {
  readonly rootfs: string;
  readonly program: string;
  readonly env: readonly string[];
  readonly cwd: string;
}

/** Looks a program up as the runtime does, and at what it needs to start. Links resolve inside of the root; devices are not opened. */
export function lookAtProgram({ rootfs, program, env, cwd }: ProgramRequest): Program {
  using root = open(rootfs, O_PATH | O_DIRECTORY);
  const path = env.findLast((entry) => entry.startsWith("PATH="))?.slice("PATH=".length) || DEFAULT_PATH;
  const searched = program.includes("/")
    ? [program.startsWith("/") ? program : `${cwd}/${program}`]
    : path.split(":").map((dir) => `${dir || cwd}/${program}`);
  const found = searched.find((candidate) => has(root, candidate));
  if (found === undefined) return { kind: "missing", path: program, searched };
  using file = openat2(root.fd, found, { flags: O_PATH, resolve: RESOLVE_IN_ROOT });
  const { mode } = fstat(file.fd);
  if ((mode & S_IFMT) === S_IFDIR) return { kind: "directory", path: found };
  if ((mode & S_IFMT) !== S_IFREG) return { kind: "unknown", path: found };
  if ((mode & 0o111) === 0) return { kind: "no permission", path: found };
  return kindOf(root, found);
}

function kindOf(root: Fd, path: string): Program {
  using file = openat2(root.fd, path, { flags: O_RDONLY | O_NONBLOCK, resolve: RESOLVE_IN_ROOT });
  const readAt = (offset: number, length: number): Uint8Array => {
    const bytes = new Uint8Array(length);
    return bytes.subarray(0, length === 0 ? 0 : Math.max(0, pread(file.fd, bytes, offset)));
  };
  const start = Buffer.from(readAt(0, SHEBANG_BYTES)).toString("latin1");
  const [, interpreter = "", rest = ""] = /^#![ \t]*([^ \t\n\r]+)([^\n]*)/.exec(start) ?? [];
  if (interpreter !== "") {
    return {
      kind: "script",
      path,
      interpreter,
      hasInterpreter: has(root, interpreter),
      endsInReturn: /\r/.test(rest + start.slice(0, start.indexOf("\n"))),
    };
  }
  const elf = readElf(readAt);
  if (elf === undefined) return { kind: "unknown", path };
  return { kind: "elf", path, elf, hasInterpreter: elf.interpreter === undefined || has(root, elf.interpreter) };
}

function has(root: Fd, path: string): boolean {
  try {
    openat2(root.fd, path, { flags: O_PATH, resolve: RESOLVE_IN_ROOT })[Symbol.dispose]();
    return true;
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP", "ENAMETOOLONG", "EACCES")) return false;
    throw error;
  }
}
