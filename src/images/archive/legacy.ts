import { DhowError, type DiffId } from "../../lib/mod.ts";
import type { OciHistory, OciImageConfig } from "../../spec/oci/mod.ts";
import { parseReference, type Reference } from "../../spec/reference.ts";
import type { ArchiveFiles } from "./plan.ts";

/** A layer's `json` in docker's format before 1.10. @see moby image/spec/v1.md */
export interface LegacyImage {
  readonly id: string;
  readonly parent: string | undefined;
  readonly fields: Readonly<Record<string, unknown>>;
}

const ID = /^[a-f0-9]{64}$/;
/** Fields of a version 1 image that a config does not have. */
const DROPPED = new Set(["id", "parent", "Size", "parent_id", "layer_id", "throwaway"]);
const MAX_DEPTH = 128;

function parse(bytes: Uint8Array): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** The layer's description in the directory `id`, if it is there. */
export function readLegacyImage(files: ArchiveFiles, id: string): LegacyImage | undefined {
  const bytes = ID.test(id) ? files.read(`${id}/json`) : undefined;
  const fields = bytes && parse(bytes);
  if (!fields) return undefined;
  const parent = fields["parent"];
  return { id, parent: typeof parent === "string" && parent !== "" ? parent : undefined, fields };
}

/** The directory of a legacy `<id>/layer.tar`. */
export function legacyLayerId(path: string): string | undefined {
  return /^([a-f0-9]{64})\/layer\.tar$/.exec(path)?.[1];
}

/** An image of an archive that has no `manifest.json`, base first, with its names. */
export interface LegacyPlan {
  readonly chain: readonly LegacyImage[];
  readonly names: readonly Reference[];
}

/** The images that the file `repositories` names. @throws invalid when a layer's description is missing */
export function planLegacy(files: ArchiveFiles): LegacyPlan[] | undefined {
  const bytes = files.read("repositories");
  const repositories = bytes && parse(bytes);
  if (!repositories) return undefined;
  const names = new Map<string, Reference[]>();
  for (const [repository, tags] of Object.entries(repositories)) {
    for (const [tag, id] of Object.entries(typeof tags === "object" && tags !== null ? tags : {})) {
      if (typeof id === "string") names.set(id, [...(names.get(id) ?? []), parseReference(`${repository}:${tag}`)]);
    }
  }
  return [...names].map(([id, references]) => ({ chain: chainOf(files, id), names: references }));
}

function chainOf(files: ArchiveFiles, top: string): LegacyImage[] {
  const chain: LegacyImage[] = [];
  for (let id: string | undefined = top; id !== undefined; ) {
    const image = readLegacyImage(files, id);
    if (!image) throw new DhowError("invalid", `invalid archive: ${id}/json is missing`);
    if (chain.length >= MAX_DEPTH) throw new DhowError("invalid", "invalid archive: the chain of parents is too long");
    chain.unshift(image);
    id = image.parent;
  }
  return chain;
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

function historyOf({ fields }: LegacyImage): OciHistory {
  const container = fields["container_config"];
  const command =
    typeof container === "object" && container !== null && "Cmd" in container && Array.isArray(container.Cmd) ? container.Cmd : [];
  const created = text(fields["created"]);
  const author = text(fields["author"]);
  const comment = text(fields["comment"]);
  return {
    ...(created === undefined ? {} : { created }),
    created_by: command.join(" "),
    ...(author === undefined ? {} : { author }),
    ...(comment === undefined ? {} : { comment }),
  };
}

/** The config that docker makes of a chain of version 1 images whose layers have these diffIDs. */
export function legacyConfig(chain: readonly LegacyImage[], diffIds: readonly DiffId[]): OciImageConfig {
  const top = chain.at(-1)?.fields ?? {};
  const kept = Object.fromEntries(Object.entries(top).filter(([key]) => !DROPPED.has(key)));
  return {
    ...kept,
    architecture: text(top["architecture"]) ?? "amd64",
    os: text(top["os"]) ?? "linux",
    rootfs: { type: "layers", diff_ids: diffIds },
    history: chain.map(historyOf),
  };
}
