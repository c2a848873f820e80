import { DhowError } from "../../lib/mod.ts";
import type { OciPlatform } from "./manifest.ts";

const ARCHITECTURES: Readonly<Record<string, string>> = {
  x86_64: "amd64",
  "x86-64": "amd64",
  x64: "amd64",
  aarch64: "arm64",
  i386: "386",
  ia32: "386",
  armhf: "arm",
  armel: "arm",
};
const OTHER_NAMES: Readonly<Record<string, string>> = { macos: "darwin" };
// with an optional version of the operating system, which isn't looked at here
const OS = /^([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.-]*)\))?$/;
const PART = /^[A-Za-z0-9_.-]+$/;

/** The platform of this process. */
export function hostPlatform(): OciPlatform {
  return { os: "linux", architecture: ARCHITECTURES[process.arch] ?? process.arch };
}

function normalise(platform: OciPlatform): OciPlatform {
  const architecture = ARCHITECTURES[platform.architecture.toLowerCase()] ?? platform.architecture.toLowerCase();
  const defaultVariant = architecture === "arm64" ? "v8" : architecture === "arm" ? "v7" : architecture === "amd64" ? "v1" : "";
  const { variant, ...rest } = platform;
  const kept = variant === undefined || variant === "" || (variant === defaultVariant && architecture !== "arm") ? undefined : variant;
  const os = platform.os.toLowerCase();
  return { ...rest, os: OTHER_NAMES[os] ?? os, architecture, ...(kept === undefined ? {} : { variant: kept }) };
}

/** @see Parse in platforms.go of containerd/platforms v1 */
function checkPart(part: string, isOs: boolean, whole: string): void {
  const form = isOs ? OS : PART;
  if (form.test(part)) return;
  const component = isOs ? "OS component" : "component";
  const specifier = isOs ? "OSAndVersion specifier" : "platform specifier";
  throw new DhowError(
    "invalid",
    `${JSON.stringify(part)} is an invalid ${component} of ${JSON.stringify(whole)}: ${specifier} component must match ${JSON.stringify(form.source)}: invalid argument`,
  );
}

/** Parses `os[/arch[/variant]]` or a bare architecture, or the JSON form of the API's `platform` parameters. @throws invalid */
export function parsePlatform(text: string): OciPlatform {
  const trimmed = text.trim();
  if (trimmed.startsWith("{")) return parseJson(trimmed);
  const parts = trimmed.split("/");
  parts.forEach((part, index) => {
    checkPart(part, index === 0, text);
  });
  if (parts.length > 3) throw new DhowError("invalid", `${JSON.stringify(text)}: cannot parse platform specifier: invalid argument`);
  const [first = "", second, third] = parts;
  const host = hostPlatform();
  if (second === undefined) {
    const lower = first.toLowerCase();
    const os = OTHER_NAMES[lower] ?? lower;
    if (["linux", "windows", "darwin", "freebsd"].includes(os)) return { ...host, os };
    const known = ARCHITECTURES[lower] ?? lower;
    if (!["amd64", "arm64", "386", "arm", "ppc64le", "s390x", "riscv64", "mips64le", "loong64"].includes(known)) {
      throw new DhowError("invalid", `${JSON.stringify(text)}: unknown operating system or architecture: invalid argument`);
    }
    return { os: host.os, architecture: known };
  }
  return normalise({ os: first.replace(/\(.*$/, ""), architecture: second, ...(third === undefined ? {} : { variant: third }) });
}

function parseJson(text: string): OciPlatform {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && "os" in value && "architecture" in value) {
      const variant = "variant" in value && typeof value.variant === "string" ? { variant: value.variant } : {};
      return normalise({ os: String(value.os), architecture: String(value.architecture), ...variant });
    }
  } catch {
    // said below
  }
  throw new DhowError("invalid", `failed to parse platform: ${text}`);
}

/** `linux/amd64`, `linux/arm/v7`. */
export function formatPlatform(platform: OciPlatform): string {
  return [platform.os, platform.architecture, platform.variant].filter((part) => part !== undefined && part !== "").join("/");
}

/** Whether an image for `offered` runs where `wanted` is asked for; a variant counts only when both name one. */
export function platformMatches(wanted: OciPlatform, offered: OciPlatform): boolean {
  const a = normalise(wanted);
  const b = normalise(offered);
  return (
    a.os === b.os && a.architecture === b.architecture && (a.variant === undefined || b.variant === undefined || a.variant === b.variant)
  );
}
