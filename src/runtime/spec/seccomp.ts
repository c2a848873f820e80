import { DhowError, rawUint } from "../../lib/mod.ts";
import type { OciSeccomp, OciSeccompArg, OciSyscall, OciUint64 } from "../../spec/oci-runtime/mod.ts";
import { ALWAYS_ALLOWED, CONDITIONAL, type ConditionalRule } from "./seccomp-table.ts";

/** What a profile's conditions are judged by. */
export interface SeccompContext {
  /** Go's name: `amd64`, `arm64`. */
  readonly arch: string;
  /** Kernel release, `6.18.44-x`. */
  readonly kernel: string;
  /** The container's bounding set. */
  readonly capabilities: readonly string[];
}

/** The architectures whose system calls a program can make on a machine, the machine's own first. */
const ARCHITECTURES: Readonly<Record<string, readonly string[]>> = {
  amd64: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
  arm64: ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
};

function kernelAtLeast(release: string, [major, minor]: readonly [number, number]): boolean {
  const [a = 0, b = 0] = release.split(/[.-]/).map(Number);
  return a > major || (a === major && b >= minor);
}

function holds(rule: ConditionalRule, context: SeccompContext): boolean {
  if (rule.arches && !rule.arches.includes(context.arch)) return false;
  if (rule.needsCap && !context.capabilities.includes(rule.needsCap)) return false;
  if (rule.withoutCap && context.capabilities.includes(rule.withoutCap)) return false;
  return !rule.minKernel || kernelAtLeast(context.kernel, rule.minKernel);
}

const words = (text: string): string[] => text.trim().split(/\s+/);

function toSyscall(rule: ConditionalRule): OciSyscall {
  return {
    names: words(rule.calls),
    action: rule.errno === undefined ? "SCMP_ACT_ALLOW" : "SCMP_ACT_ERRNO",
    ...(rule.errno === undefined ? {} : { errnoRet: rule.errno }),
    ...(rule.arg ? { args: [rule.arg] } : {}),
  };
}

const always: OciSyscall = { names: words(ALWAYS_ALLOWED), action: "SCMP_ACT_ALLOW" };

/** Docker's default profile for a container with these capabilities on this machine. */
export function defaultSeccomp(context: SeccompContext): OciSeccomp {
  return {
    defaultAction: "SCMP_ACT_ERRNO",
    defaultErrnoRet: 1,
    architectures: ARCHITECTURES[context.arch] ?? [],
    syscalls: [always, ...CONDITIONAL.filter((rule) => holds(rule, context)).map(toSyscall)],
  };
}

type Json = Readonly<Record<string, unknown>>;

function bad(reason: string): never {
  throw new DhowError("invalid", `Decoding seccomp profile failed: ${reason}`);
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function object(value: unknown, field: string): Json {
  return isObject(value)
    ? value
    : bad(`json: cannot unmarshal ${Array.isArray(value) ? "array" : typeof value} into Go value of field ${field}`);
}

function text(value: unknown, field: string): string {
  return typeof value === "string" ? value : bad(`json: cannot unmarshal ${typeof value} into Go struct field ${field} of type string`);
}

function list(value: unknown, field: string): readonly unknown[] {
  if (value === undefined || value === null) return [];
  return Array.isArray(value) ? value : bad(`json: cannot unmarshal ${typeof value} into Go struct field ${field} of type []`);
}

const texts = (value: unknown, field: string): string[] => list(value, field).map((item) => text(item, field));

function uint(value: unknown, field: string): OciUint64 {
  if (typeof value === "number" && Number.isInteger(value) && value >= 0)
    return value > Number.MAX_SAFE_INTEGER ? rawUint(BigInt(value)) : value;
  if (isRaw(value)) return value;
  return bad(`json: cannot unmarshal ${typeof value} into Go struct field ${field} of type uint64`);
}

function isRaw(value: unknown): value is { readonly rawJSON: string } {
  return isObject(value) && typeof value["rawJSON"] === "string";
}

// A profile may name 64-bit masks; the source text has digits that a double would round away.
function parseJson(source: string): unknown {
  const reviver = (_key: string, value: unknown, context?: { readonly source?: string }): unknown => {
    const digits = context?.source;
    const beyond = typeof value === "number" && Number.isInteger(value) && value > Number.MAX_SAFE_INTEGER;
    return beyond && digits !== undefined && /^\d+$/.test(digits) ? rawUint(BigInt(digits)) : value;
  };
  try {
    return JSON.parse(source, reviver as (key: string, value: unknown) => unknown);
  } catch (error) {
    return bad(error instanceof Error ? error.message : String(error));
  }
}

function parseArg(value: unknown): OciSeccompArg {
  const arg = object(value, "args");
  return {
    index: Number(uint(arg["index"] ?? 0, "index")),
    value: uint(arg["value"] ?? 0, "value"),
    ...(arg["valueTwo"] === undefined ? {} : { valueTwo: uint(arg["valueTwo"], "valueTwo") }),
    op: text(arg["op"] ?? "", "op"),
  };
}

function minKernelOf(filter: Json): readonly [number, number] | undefined {
  const version = filter["minKernel"];
  if (version === undefined || version === null || version === "") return undefined;
  const match = /^(\d+)\.(\d+)$/.exec(text(version, "minKernel"));
  return match
    ? [Number(match[1]), Number(match[2])]
    : bad(`invalid kernel version: ${JSON.stringify(version)}, expected "<kernel>.<major>"`);
}

function applies(call: Json, context: SeccompContext): boolean {
  if (call["excludes"] !== undefined && call["excludes"] !== null) {
    const excludes = object(call["excludes"], "excludes");
    const kernel = minKernelOf(excludes);
    if (texts(excludes["arches"], "arches").includes(context.arch)) return false;
    if (texts(excludes["caps"], "caps").some((cap) => context.capabilities.includes(cap))) return false;
    if (kernel && kernelAtLeast(context.kernel, kernel)) return false;
  }
  if (call["includes"] !== undefined && call["includes"] !== null) {
    const includes = object(call["includes"], "includes");
    const arches = texts(includes["arches"], "arches");
    const kernel = minKernelOf(includes);
    if (arches.length > 0 && !arches.includes(context.arch)) return false;
    if (texts(includes["caps"], "caps").some((cap) => !context.capabilities.includes(cap))) return false;
    if (kernel && !kernelAtLeast(context.kernel, kernel)) return false;
  }
  return true;
}

function parseSyscall(call: Json): OciSyscall {
  const name = call["name"] === undefined ? "" : text(call["name"], "name");
  const names = texts(call["names"], "names");
  if (name !== "" && names.length > 0) bad("both 'name' and 'names' are specified in the seccomp profile, use either 'name' or 'names'");
  const args = list(call["args"], "args").map(parseArg);
  const errnoRet = call["errnoRet"];
  return {
    names: name === "" ? names : [name],
    action: text(call["action"] ?? "", "action"),
    ...(typeof errnoRet === "number" ? { errnoRet } : {}),
    ...(args.length > 0 ? { args } : {}),
  };
}

function architecturesOf(profile: Json, arch: string): string[] {
  const plain = texts(profile["architectures"], "architectures");
  const map = list(profile["archMap"], "archMap").map((entry) => object(entry, "archMap"));
  if (plain.length > 0 && map.length > 0) {
    bad("both 'architectures' and 'archMap' are specified in the seccomp profile, use either 'architectures' or 'archMap'");
  }
  const native = ARCHITECTURES[arch]?.[0];
  const entry = map.find((e) => e["architecture"] === native);
  return entry ? [...plain, text(entry["architecture"], "architecture"), ...texts(entry["subArchitectures"], "subArchitectures")] : plain;
}

/**
 * Reads a profile in Docker's JSON form and keeps what applies to this container. An empty profile turns seccomp off: undefined.
 * @throws invalid with docker's "Decoding seccomp profile failed: …"
 */
export function parseSeccomp(source: string, context: SeccompContext): OciSeccomp | undefined {
  const profile = object(parseJson(source), "profile");
  const calls = list(profile["syscalls"], "syscalls").map((call) => object(call, "syscalls"));
  const defaultAction = text(profile["defaultAction"] ?? "", "defaultAction");
  if (defaultAction === "" && calls.length === 0) return undefined;
  const flags = texts(profile["flags"], "flags");
  const defaultErrnoRet = profile["defaultErrnoRet"];
  const listenerPath = text(profile["listenerPath"] ?? "", "listenerPath");
  const listenerMetadata = text(profile["listenerMetadata"] ?? "", "listenerMetadata");
  return {
    defaultAction,
    ...(typeof defaultErrnoRet === "number" ? { defaultErrnoRet } : {}),
    architectures: architecturesOf(profile, context.arch),
    ...(flags.length > 0 ? { flags } : {}),
    ...(listenerPath === "" ? {} : { listenerPath }),
    ...(listenerMetadata === "" ? {} : { listenerMetadata }),
    syscalls: calls.filter((call) => applies(call, context)).map(parseSyscall),
  };
}
