import { dlopen, FFIType, read as readMemory } from "bun:ffi";
import { cstr } from "./cstr.ts";
import { check, sysError } from "./errno.ts";
import { Fd, pread } from "./fd.ts";
import { libc } from "./libc.ts";
import { fstat } from "./stat.ts";

const { i32: int, u32: uint, ptr: pointer, void: nothing } = FFIType;

/** @see seccomp_rule_add(3); all integers are 32 bits wide but the compared values. */
const SYMBOLS = {
  seccomp_init: { args: [uint], returns: pointer },
  seccomp_release: { args: [pointer], returns: nothing },
  seccomp_arch_resolve_name: { args: [pointer], returns: uint },
  seccomp_arch_add: { args: [pointer, uint], returns: int },
  seccomp_attr_set: { args: [pointer, uint, uint], returns: int },
  seccomp_syscall_resolve_name: { args: [pointer], returns: int },
  seccomp_rule_add_array: { args: [pointer, uint, int, uint, pointer], returns: int },
  seccomp_export_bpf: { args: [pointer, int], returns: int },
  seccomp_version: { args: [], returns: pointer },
} as const;

const EEXIST = 17;
const NR_ERROR = -1;
const ATTR_OPTIMIZE = 8;
const BINARY_TREE = 2;
const MFD_CLOEXEC = 1;
const ARG_SIZE = 24;

const OPERATORS: Readonly<Record<string, number>> = {
  SCMP_CMP_NE: 1,
  SCMP_CMP_LT: 2,
  SCMP_CMP_LE: 3,
  SCMP_CMP_EQ: 4,
  SCMP_CMP_GE: 5,
  SCMP_CMP_GT: 6,
  SCMP_CMP_MASKED_EQ: 7,
};

const ACTIONS: Readonly<Record<string, number>> = {
  SCMP_ACT_KILL: 0,
  SCMP_ACT_KILL_THREAD: 0,
  SCMP_ACT_KILL_PROCESS: 0x80000000,
  SCMP_ACT_TRAP: 0x00030000,
  SCMP_ACT_ERRNO: 0x00050000,
  SCMP_ACT_TRACE: 0x7ff00000,
  SCMP_ACT_LOG: 0x7ffc0000,
  SCMP_ACT_ALLOW: 0x7fff0000,
};

/** One condition; several of a rule must all hold. */
export interface FilterArg {
  readonly index: number;
  readonly op: string;
  readonly value: bigint;
  readonly valueTwo: bigint;
}

export interface FilterRule {
  readonly names: readonly string[];
  readonly action: string;
  /** For SCMP_ACT_ERRNO and SCMP_ACT_TRACE. */
  readonly errno: number;
  readonly args: readonly FilterArg[];
}

/** A seccomp filter in libseccomp's terms. */
export interface FilterSpec {
  readonly defaultAction: string;
  readonly defaultErrno: number;
  /** `SCMP_ARCH_X86_64`. */
  readonly architectures: readonly string[];
  readonly rules: readonly FilterRule[];
}

type Library = ReturnType<typeof dlopen<typeof SYMBOLS>>["symbols"];

function load(): Library | undefined {
  try {
    return dlopen("libseccomp.so.2", SYMBOLS).symbols;
  } catch {
    return undefined;
  }
}

/** libseccomp's version, `2.5.4`; undefined when it isn't installed (a static OCI runtime brings its own). */
export function libseccompVersion(): string | undefined {
  const at = load()?.seccomp_version();
  return at ? [0, 4, 8].map((offset) => readMemory.u32(at, offset)).join(".") : undefined;
}

function actionOf(name: string, errno: number): number | undefined {
  const base = ACTIONS[name];
  if (base === undefined) return undefined;
  return name === "SCMP_ACT_ERRNO" || name === "SCMP_ACT_TRACE" ? base + (errno & 0xffff) : base;
}

function encodeArgs(args: readonly FilterArg[]): Uint8Array | undefined {
  // struct scmp_arg_cmp: arg u32, op u32, datum_a u64, datum_b u64
  const view = new DataView(new ArrayBuffer(ARG_SIZE * Math.max(1, args.length)));
  for (const [i, arg] of args.entries()) {
    const operator = OPERATORS[arg.op];
    if (operator === undefined || arg.index > 5) return undefined;
    view.setUint32(i * ARG_SIZE, arg.index, true);
    view.setUint32(i * ARG_SIZE + 4, operator, true);
    view.setBigUint64(i * ARG_SIZE + 8, arg.value, true);
    view.setBigUint64(i * ARG_SIZE + 16, arg.valueTwo, true);
  }
  return new Uint8Array(view.buffer);
}

// One condition per argument can be joined in a rule; two on the same argument are alternatives, as OCI runtimes have it.
function alternatives(args: readonly FilterArg[]): (readonly FilterArg[])[] {
  return new Set(args.map((a) => a.index)).size === args.length ? [args] : args.map((a) => [a]);
}

function demand(result: number, call: string, arg: string): void {
  if (result < 0) throw sysError(call, result, arg);
}

class Filter implements Disposable {
  readonly #lib: Library;
  readonly #context: NonNullable<ReturnType<Library["seccomp_init"]>>;

  constructor(lib: Library, action: number) {
    const context = lib.seccomp_init(action);
    if (context === null) throw sysError("seccomp_init", 22);
    this.#lib = lib;
    this.#context = context;
  }

  addArchitecture(name: string): void {
    const short = cstr(name.replace(/^SCMP_ARCH_/, "").toLowerCase());
    const token = this.#lib.seccomp_arch_resolve_name(short);
    if (token === 0) throw sysError("seccomp_arch_resolve_name", 22, name);
    const result = this.#lib.seccomp_arch_add(this.#context, token);
    if (result !== -EEXIST) demand(result, "seccomp_arch_add", name);
  }

  addRule(name: string, action: number, args: readonly FilterArg[]): boolean {
    const call = cstr(name);
    const number = this.#lib.seccomp_syscall_resolve_name(call);
    // A name that this library doesn't know stays under the default action.
    if (number === NR_ERROR) return true;
    for (const joined of alternatives(args)) {
      const bytes = encodeArgs(joined);
      if (bytes === undefined) return false;
      demand(this.#lib.seccomp_rule_add_array(this.#context, action, number, joined.length, bytes), "seccomp_rule_add_array", name);
    }
    return true;
  }

  export(): Uint8Array {
    // Sorted as a tree, a system call costs some ten comparisons instead of hundreds; older versions don't know it.
    this.#lib.seccomp_attr_set(this.#context, ATTR_OPTIMIZE, BINARY_TREE);
    const name = cstr("seccomp");
    using file = new Fd(check(libc.symbols.memfd_create(name, MFD_CLOEXEC), "memfd_create"));
    demand(this.#lib.seccomp_export_bpf(this.#context, file.fd), "seccomp_export_bpf", "");
    const bytes = new Uint8Array(fstat(file.fd).size);
    for (let done = 0; done < bytes.length; ) done += pread(file.fd, bytes.subarray(done), done);
    return bytes;
  }

  [Symbol.dispose](): void {
    this.#lib.seccomp_release(this.#context);
  }
}

/**
 * Compiles a filter to the kernel's BPF program, as an OCI runtime would do at each start; some ten milliseconds.
 * Undefined when libseccomp isn't there or the filter has something that only a runtime can do (an unknown action or operator).
 * @throws {SysError} when libseccomp refuses a rule
 */
export function compileSeccomp(spec: FilterSpec): Uint8Array | undefined {
  const lib = load();
  const byDefault = actionOf(spec.defaultAction, spec.defaultErrno);
  if (lib === undefined || byDefault === undefined) return undefined;
  using filter = new Filter(lib, byDefault);
  for (const architecture of spec.architectures) filter.addArchitecture(architecture);
  for (const rule of spec.rules) {
    const action = actionOf(rule.action, rule.errno);
    if (action === undefined) return undefined;
    if (action === byDefault) continue;
    for (const name of rule.names) if (!filter.addRule(name, action, rule.args)) return undefined;
  }
  return filter.export();
}
