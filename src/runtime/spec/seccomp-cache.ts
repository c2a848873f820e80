import { createHash } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { errnoCode, type Logger, writeFileAtomic } from "../../lib/mod.ts";
import { compileSeccomp, libseccompVersion } from "../../linux/mod.ts";
import type { OciSeccomp, OciSpec, OciUint64 } from "../../spec/oci-runtime/mod.ts";

/** crun takes a finished filter from here, in base64, instead of compiling `linux.seccomp`. @see crun(1), run.oci.seccomp_bpf_data */
export const SECCOMP_ANNOTATION = "run.oci.seccomp_bpf_data";
const KEPT = 8;

const toBigInt = (value: OciUint64 | undefined): bigint =>
  value === undefined ? 0n : BigInt(typeof value === "number" ? value : value.rawJSON);

function compile(profile: OciSeccomp): Uint8Array | undefined {
  return compileSeccomp({
    defaultAction: profile.defaultAction,
    defaultErrno: profile.defaultErrnoRet ?? 1,
    architectures: profile.architectures ?? [],
    rules: (profile.syscalls ?? []).map((call) => ({
      names: call.names,
      action: call.action,
      errno: call.errnoRet ?? 1,
      args: (call.args ?? []).map((arg) => ({
        index: arg.index,
        op: arg.op,
        value: toBigInt(arg.value),
        valueTwo: toBigInt(arg.valueTwo),
      })),
    })),
  });
}

/**
 * Compiled seccomp filters, so that a profile is compiled once and not at each start (Debian's crun 1.8.1 has no cache built in and
 * takes 12 ms). On disk as `<directory>/<sha256 of profile and libseccomp's version>.bpf`; a file may be deleted at any time.
 */
export class SeccompCache {
  readonly #directory: string;
  readonly #log: Logger;
  /** base64 by profile; null = leave it to the runtime. */
  readonly #kept = new Map<string, string | null>();
  #version: string | undefined;

  constructor(options: { readonly directory: string; readonly log: Logger }) {
    this.#directory = options.directory;
    this.#log = options.log;
  }

  /**
   * The same spec with the compiled filter for crun in place of the profile; as it was when there is no profile or no way to compile it.
   * Only for crun: of the profile a default action remains, so that a runtime that doesn't know the annotation runs nothing at all
   * instead of a container without a filter.
   */
  apply(spec: OciSpec): OciSpec {
    const profile = spec.linux.seccomp;
    if (!profile || profile.listenerPath !== undefined) return spec;
    const data = this.#get(profile);
    if (data === null) return spec;
    const { flags } = profile;
    const closed: OciSeccomp = { defaultAction: "SCMP_ACT_ERRNO", ...(flags === undefined ? {} : { flags }) };
    return { ...spec, annotations: { ...spec.annotations, [SECCOMP_ANNOTATION]: data }, linux: { ...spec.linux, seccomp: closed } };
  }

  #get(profile: OciSeccomp): string | null {
    const key = createHash("sha256").update(JSON.stringify(profile)).digest("hex");
    const known = this.#kept.get(key);
    if (known !== undefined) return known;
    const data = this.#load(key, profile);
    const oldest = this.#kept.keys().next();
    if (this.#kept.size >= KEPT && !oldest.done) this.#kept.delete(oldest.value);
    this.#kept.set(key, data);
    return data;
  }

  #load(key: string, profile: OciSeccomp): string | null {
    try {
      this.#version ??= libseccompVersion() ?? "";
      if (this.#version === "") return null;
      const file = `${this.#directory}/${key}-${this.#version}.bpf`;
      const bytes = readIfThere(file) ?? this.#compileTo(file, profile);
      return bytes === undefined ? null : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
    } catch (error) {
      // The runtime says better than this what is wrong with a profile.
      this.#log.debug("compile a seccomp profile failed, leave it to the runtime", { error });
      return null;
    }
  }

  #compileTo(file: string, profile: OciSeccomp): Uint8Array | undefined {
    const bytes = compile(profile);
    if (bytes === undefined) return undefined;
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    writeFileAtomic(file, bytes, { mode: 0o600 });
    return bytes;
  }
}

function readIfThere(file: string): Uint8Array | undefined {
  try {
    const bytes = readFileSync(file);
    // A BPF instruction has 8 bytes; anything else is damage.
    return bytes.length > 0 && bytes.length % 8 === 0 ? bytes : undefined;
  } catch (error) {
    if (errnoCode(error) === "ENOENT") return undefined;
    throw error;
  }
}
