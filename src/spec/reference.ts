import { DhowError, type Digest, goRegexp, isDigest, type TextTest } from "../lib/mod.ts";

/**
 * A parsed, normalised image reference: `docker.io/library/busybox:latest` where `busybox` was written.
 * At least one of `tag` and `digest` may be null; both are null for a bare name.
 * @see https://github.com/distribution/reference/blob/v0.6.0/reference.go
 */
export interface Reference {
  /** Registry host, with its port if one was given. */
  readonly domain: string;
  /** Repository path on that host. */
  readonly path: string;
  readonly tag: string | null;
  readonly digest: string | null;
}

/** What a user's argument can mean by its form alone: a full image id or a reference. */
export type AnyReference = { readonly kind: "id"; readonly id: Digest } | { readonly kind: "name"; readonly reference: Reference };

const DEFAULT_DOMAIN = "docker.io";
const LEGACY_DEFAULT_DOMAIN = "index.docker.io";
const OFFICIAL_PREFIX = "library/";
const DEFAULT_TAG = "latest";
const MAX_NAME_LENGTH = 255;

const DOMAIN_LABEL = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])";
const DOMAIN = `(?:${DOMAIN_LABEL}(?:\\.${DOMAIN_LABEL})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?`;
const COMPONENT = "[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*";
const TAG = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}";
const DIGEST = "[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}";
const REFERENCE = new RegExp(`^(${DOMAIN})/(${COMPONENT}(?:/${COMPONENT})*)(?::(${TAG}))?(?:@(${DIGEST}))?$`);
const TAG_FORM = new RegExp(`^${TAG}$`);
const HEX_ID = /^[a-f0-9]{64}$/;
const DIGEST_HEX_LENGTH: Readonly<Record<string, number>> = { sha256: 64, sha384: 96, sha512: 128 };

function invalid(message: string): DhowError {
  return new DhowError("invalid", message);
}

/** Splits off the registry host: the part before the first slash when it can't be a path component of the default registry. */
function splitDomain(name: string): { readonly domain: string; readonly rest: string } {
  const slash = name.indexOf("/");
  const first = name.slice(0, Math.max(slash, 0));
  const isHost = slash >= 0 && (/[.:]/.test(first) || first === "localhost" || first.toLowerCase() !== first);
  let domain = isHost ? first : DEFAULT_DOMAIN;
  let rest = isHost ? name.slice(slash + 1) : name;
  if (domain === LEGACY_DEFAULT_DOMAIN) domain = DEFAULT_DOMAIN;
  if (domain === DEFAULT_DOMAIN && !rest.includes("/")) rest = OFFICIAL_PREFIX + rest;
  return { domain, rest };
}

function checkDigest(digest: string): void {
  const colon = digest.indexOf(":");
  const length = DIGEST_HEX_LENGTH[digest.slice(0, colon)];
  if (length === undefined) throw invalid("unsupported digest algorithm");
  if (digest.length - colon - 1 !== length) throw invalid("invalid checksum digest length");
  if (/[A-F]/.test(digest.slice(colon + 1))) throw invalid("invalid checksum digest format");
}

/**
 * Parses `name[:tag][@digest]` as docker does and fills in the default registry and `library/`; adds no tag.
 * @throws invalid with docker's words
 */
export function parseReference(text: string): Reference {
  if (HEX_ID.test(text)) throw invalid(`invalid repository name (${text}), cannot specify 64-byte hexadecimal strings`);
  const { domain, rest } = splitDomain(text);
  const repository = rest.slice(0, rest.search(/[:@]|$/));
  if (repository.toLowerCase() !== repository) {
    throw invalid(`invalid reference format: repository name (${repository}) must be lowercase`);
  }
  const match = REFERENCE.exec(`${domain}/${rest}`);
  if (!match) throw invalid("invalid reference format");
  const path = match[2] ?? "";
  if (path.length > MAX_NAME_LENGTH) throw invalid(`repository name must not be more than ${MAX_NAME_LENGTH} characters`);
  const digest = match[4] ?? null;
  if (digest !== null) checkDigest(digest);
  return { domain: match[1] ?? domain, path, tag: match[3] ?? null, digest };
}

/** As `parseReference`, but 64 hex digits and a digest are an image's id. @throws invalid with docker's words */
export function parseAnyReference(text: string): AnyReference {
  if (HEX_ID.test(text)) return { kind: "id", id: `sha256:${text}` as Digest };
  if (isDigest(text)) return { kind: "id", id: text };
  return { kind: "name", reference: parseReference(text) };
}

/** `reference` under another tag, without its digest. @throws invalid "invalid tag format" */
export function withTag(reference: Reference, tag: string): Reference {
  if (!TAG_FORM.test(tag)) throw invalid("invalid tag format");
  return { ...reference, tag, digest: null };
}

/** `reference`, with `latest` as its tag when it has neither tag nor digest. */
export function withDefaultTag(reference: Reference): Reference {
  return reference.tag === null && reference.digest === null ? { ...reference, tag: DEFAULT_TAG } : reference;
}

/** The repository in full: `docker.io/library/busybox`. */
export function repositoryName(reference: Reference): string {
  return `${reference.domain}/${reference.path}`;
}

/** The repository as users write it: `busybox`. */
export function familiarName(reference: Reference): string {
  if (reference.domain !== DEFAULT_DOMAIN) return repositoryName(reference);
  const { path } = reference;
  const short = path.startsWith(OFFICIAL_PREFIX) ? path.slice(OFFICIAL_PREFIX.length) : path;
  return short.includes("/") ? path : short;
}

function suffix(reference: Reference): string {
  return `${reference.tag === null ? "" : `:${reference.tag}`}${reference.digest === null ? "" : `@${reference.digest}`}`;
}

/** The reference in full: `docker.io/library/busybox:latest`. */
export function referenceString(reference: Reference): string {
  return repositoryName(reference) + suffix(reference);
}

/** The reference as users write it: `busybox:latest`. */
export function familiarString(reference: Reference): string {
  return familiarName(reference) + suffix(reference);
}

/** Turns a glob of Go's path.Match (`*` and `?` stop at slashes) into a test. @throws invalid "syntax error in pattern" */
function globTest(glob: string): TextTest {
  let source = "";
  for (let i = 0; i < glob.length; i++) {
    const char = glob.charAt(i);
    if (char === "*") source += "[^/]*";
    else if (char === "?") source += "[^/]";
    else if (char === "[") {
      const end = glob.indexOf("]", i + 2);
      if (end < 0) throw invalid("syntax error in pattern");
      source += `[${glob.slice(i + 1, end).replace(/[\\[]/g, "\\$&")}]`;
      i = end;
    } else if (char === "\\") {
      i++;
      if (i >= glob.length) throw invalid("syntax error in pattern");
      source += glob.charAt(i).replace(/[.*+?^${}()|[\]\\/]/g, "\\$&");
    } else source += char.replace(/[.+^${}()|\]/]/g, "\\$&");
  }
  try {
    return goRegexp(`^${source}$`);
  } catch (cause) {
    throw new DhowError("invalid", "syntax error in pattern", { cause });
  }
}

/**
 * Makes the test of `docker image ls --filter reference=<glob>`: the glob fits the name as users write it or in full, with or without its tag.
 * @throws invalid
 */
export function referenceMatcher(glob: string): (reference: Reference) => boolean {
  const fits = globTest(glob);
  const forms = [familiarString, familiarName, referenceString, repositoryName];
  return (reference) => forms.some((form) => fits(form(reference)));
}

/**
 * Joins the `repo` and `tag` parameters of the tag, import and create calls; null for an empty `repo`.
 * @throws invalid with docker's words
 */
export function repoTagReference(repo: string, tag: string): Reference | null {
  if (repo === "") return null;
  const reference = parseReference(repo);
  if (reference.digest !== null) throw invalid("cannot import digest reference");
  return tag === "" ? withDefaultTag(reference) : withTag(reference, tag);
}
