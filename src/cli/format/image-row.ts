import { humanSize, Struct } from "../../lib/mod.ts";
import type { ImageSummary } from "../../spec/engine/mod.ts";
import { ago, timeText, truncateId } from "./text.ts";

const SIZE_DIGITS = 3;
const NONE = "<none>";

export const IMAGE_HEADERS = {
  ID: "IMAGE ID",
  Repository: "REPOSITORY",
  Tag: "TAG",
  Digest: "DIGEST",
  CreatedSince: "CREATED",
  CreatedAt: "CREATED AT",
  Size: "SIZE",
  Containers: "CONTAINERS",
  VirtualSize: "SIZE",
  SharedSize: "SHARED SIZE",
  UniqueSize: "UNIQUE SIZE",
};

interface Name {
  readonly repository: string;
  readonly tag: string;
  readonly digest: string;
}

function familiar(repository: string): string {
  return repository.replace(/^docker\.io\/(library\/)?/, "");
}

/** The names under which an image is listed; with digests, a name and a digest of it share a row. */
function namesOf(image: ImageSummary, hasDigests: boolean): readonly Name[] {
  const tags = new Map<string, string[]>();
  const digests = new Map<string, string[]>();
  const add = (map: Map<string, string[]>, key: string, value: string) => map.set(key, [...(map.get(key) ?? []), value]);
  for (const name of image.RepoTags ?? []) {
    const colon = name.lastIndexOf(":");
    if (name !== "<none>:<none>" && colon > 0) add(tags, familiar(name.slice(0, colon)), name.slice(colon + 1));
  }
  for (const name of image.RepoDigests ?? []) {
    const at = name.indexOf("@");
    if (name !== "<none>@<none>" && at > 0) add(digests, familiar(name.slice(0, at)), name.slice(at + 1));
  }
  if (tags.size === 0 && digests.size === 0) return [{ repository: NONE, tag: NONE, digest: NONE }];
  const names: Name[] = [];
  for (const [repository, list] of tags) {
    const own = digests.get(repository) ?? [];
    digests.delete(repository);
    for (const tag of list) {
      if (!hasDigests || own.length === 0) names.push({ repository, tag, digest: NONE });
      else for (const digest of own) names.push({ repository, tag, digest });
    }
  }
  for (const [repository, list] of digests) {
    if (hasDigests) for (const digest of list) names.push({ repository, tag: NONE, digest });
    else names.push({ repository, tag: NONE, digest: NONE });
  }
  return names;
}

export interface ImageRowOptions {
  readonly doesTruncate: boolean;
  readonly hasDigests: boolean;
}

/** An image as rows of `docker images`: one for each name. */
export function imageRows(image: ImageSummary, { doesTruncate, hasDigests }: ImageRowOptions): readonly Struct[] {
  const id = image.Id ?? "";
  const created = image.Created ?? 0;
  const size = image.Size ?? 0;
  const shared = image.SharedSize ?? -1;
  const containers = image.Containers ?? -1;
  const virtual = (image as { readonly VirtualSize?: number }).VirtualSize || size;
  return namesOf(image, hasDigests).map(
    ({ repository, tag, digest }) =>
      new Struct("*formatter.imageContext", {
        ID: () => (doesTruncate ? truncateId(id) : id),
        Repository: () => repository,
        Tag: () => tag,
        Digest: () => digest,
        CreatedSince: () => (created <= 0 ? "N/A" : ago(created)),
        CreatedAt: () => (created <= 0 ? "N/A" : timeText(created)),
        Size: () => humanSize(size, SIZE_DIGITS),
        Containers: () => (containers === -1 ? "N/A" : String(containers)),
        VirtualSize: () => humanSize(virtual),
        SharedSize: () => (shared === -1 ? "N/A" : humanSize(shared)),
        UniqueSize: () => (shared === -1 || size === 0 ? "N/A" : humanSize(size - shared)),
      }),
  );
}
