import { DhowError, type DiffId, isDigest } from "../../lib/mod.ts";

/** Docker's HEALTHCHECK in an image's config; times in nanoseconds. */
export interface OciHealthcheck {
  readonly Test?: readonly string[];
  readonly Interval?: number;
  readonly Timeout?: number;
  readonly StartPeriod?: number;
  readonly StartInterval?: number;
  readonly Retries?: number;
}

/** What a container of the image runs with unless told otherwise: OCI's fields and Docker's additions to them. */
export interface OciImageRunConfig {
  readonly User?: string;
  readonly ExposedPorts?: Readonly<Record<string, Readonly<Record<string, never>>>> | null;
  readonly Env?: readonly string[] | null;
  readonly Entrypoint?: readonly string[] | null;
  readonly Cmd?: readonly string[] | null;
  readonly Volumes?: Readonly<Record<string, Readonly<Record<string, never>>>> | null;
  readonly WorkingDir?: string;
  readonly Labels?: Readonly<Record<string, string>> | null;
  readonly StopSignal?: string;
  readonly StopTimeout?: number;
  readonly ArgsEscaped?: boolean;
  readonly Healthcheck?: OciHealthcheck | null;
  readonly OnBuild?: readonly string[] | null;
  readonly Shell?: readonly string[] | null;
}

/** One row of `docker history`. */
export interface OciHistory {
  readonly created?: string;
  readonly created_by?: string;
  readonly author?: string;
  readonly comment?: string;
  readonly empty_layer?: boolean;
}

/** An image's config, with Docker's additions. @see https://github.com/opencontainers/image-spec/blob/v1.1.1/config.md */
export interface OciImageConfig {
  readonly architecture: string;
  readonly os: string;
  readonly variant?: string;
  readonly "os.version"?: string;
  readonly created?: string;
  readonly author?: string;
  readonly comment?: string;
  readonly docker_version?: string;
  readonly container?: string;
  readonly config?: OciImageRunConfig | null;
  readonly rootfs: { readonly type: string; readonly diff_ids: readonly DiffId[] };
  readonly history?: readonly OciHistory[] | null;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isAbsentOr(value: unknown, type: "string" | "object"): boolean {
  return value === undefined || value === null || (type === "object" ? isRecord(value) : typeof value === "string");
}

function isStringList(value: unknown): boolean {
  return value === undefined || value === null || (Array.isArray(value) && value.every((item) => typeof item === "string"));
}

function isStringMap(value: unknown): boolean {
  return value === undefined || value === null || (isRecord(value) && Object.values(value).every((item) => typeof item === "string"));
}

function isRunConfig(value: unknown): boolean {
  if (value === undefined || value === null) return true;
  if (!isRecord(value)) return false;
  const lists = ["Env", "Cmd", "Entrypoint", "OnBuild", "Shell"];
  const texts = ["User", "WorkingDir", "StopSignal"];
  const maps = ["Volumes", "ExposedPorts", "Healthcheck"];
  return (
    lists.every((key) => isStringList(value[key])) &&
    texts.every((key) => isAbsentOr(value[key], "string")) &&
    maps.every((key) => isAbsentOr(value[key], "object")) &&
    isStringMap(value["Labels"])
  );
}

function isHistory(value: unknown): boolean {
  return value === undefined || value === null || (Array.isArray(value) && value.every(isRecord));
}

/** Parses the bytes of an image's config. @throws invalid when it is no image config */
export function parseImageConfig(bytes: Uint8Array): OciImageConfig {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw new DhowError("invalid", `parse the image config: ${cause instanceof Error ? cause.message : "not JSON"}`, { cause });
  }
  if (!isRecord(value)) throw new DhowError("invalid", "invalid image JSON, not an object");
  const { rootfs } = value;
  if (!isRecord(rootfs)) throw new DhowError("invalid", "invalid image JSON, no RootFS key");
  const diffIds = rootfs["diff_ids"] ?? [];
  if (!Array.isArray(diffIds) || !diffIds.every((id) => typeof id === "string" && isDigest(id))) {
    throw new DhowError("invalid", "invalid image JSON, rootfs.diff_ids is not a list of digests");
  }
  if (!isRunConfig(value["config"])) throw new DhowError("invalid", "invalid image JSON, config has a field of a wrong type");
  if (!isHistory(value["history"])) throw new DhowError("invalid", "invalid image JSON, history is not a list");
  const text = (key: string): string => (typeof value[key] === "string" ? value[key] : "");
  return {
    ...value,
    os: text("os") || "linux",
    architecture: text("architecture"),
    rootfs: { type: "layers", diff_ids: diffIds },
  } as unknown as OciImageConfig;
}
