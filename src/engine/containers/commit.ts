import { type CommitImageOptions, commitImage, type Image } from "../../images/mod.ts";
import { DhowError, isDigest } from "../../lib/mod.ts";
import { S_IFMT, S_IFSOCK } from "../../linux/mod.ts";
import { type Difference, TarPacker } from "../../snapshots/mod.ts";
import type { CommitOptions } from "../../spec/engine/mod.ts";
import { familiarName, familiarString, type Reference, repoTagReference } from "../../spec/reference.ts";
import { emitImage } from "../images/deps.ts";
import { commitConfig } from "./commit-config.ts";
import type { ContentsDeps } from "./deps.ts";
import { ownDifferences } from "./differences.ts";
import { emitContainer } from "./emit.ts";
import type { Container } from "./store.ts";
import { filledUnstarted } from "./unstarted.ts";
import { checkThere, checkUsable, holdLayers } from "./usable.ts";
import { whilePaused } from "./while-paused.ts";

const RESERVED_NAME = /(^|\/)\.wh\./;

/** POST /commit. Nothing stays behind when it fails. @throws notFound, invalid, conflict in docker's words */
export async function commitContainer(deps: ContentsDeps, ref: string, options: CommitOptions): Promise<{ readonly Id: string }> {
  const name = imageName(options);
  const container = deps.store.find(ref);
  checkUsable(container, "commit");
  const config = commitConfig(container.spec.config, options.config, options.changes);
  const make = (): Promise<Image> => makeImage(deps, container, { ref, config, options });
  // one after the other: the first to end must not let go what the second one wants to stand still
  return deps.locks.run(`commit ${container.id}`, async () => {
    checkThere(deps, container, ref);
    await using _ = holdLayers(deps, container);
    const image = await (options.pause ? whilePaused(deps, container, make) : make()).catch((error: unknown) => {
      deps.written(error);
      throw error;
    });
    deps.written();
    emitImage(deps, "create", image);
    if (name !== null) deps.tag(name, image.id);
    emitContainer(deps.emit, "commit", container, {
      comment: options.comment,
      imageID: image.id,
      imageRef: name === null ? "" : familiarString(name),
    });
    return { Id: image.id };
  });
}

function imageName({ repo, tag }: CommitOptions): Reference | null {
  const name = repoTagReference(repo, tag);
  if (name !== null && familiarName(name) === "sha256")
    throw new DhowError("invalid", "refusing to create an ambiguous tag using digest algorithm as name");
  return name;
}

interface Commit {
  readonly ref: string;
  readonly config: ReturnType<typeof commitConfig>;
  readonly options: CommitOptions;
}

async function makeImage(deps: ContentsDeps, container: Container, commit: Commit): Promise<Image> {
  await filledUnstarted(deps, container);
  const differences = ownDifferences(deps.snapshots.diff(container.id), isCommitted);
  try {
    const first = await differences.next();
    return await commitImage(first.done ? null : layerTar(first.value, differences), imageOptions(deps, container, commit));
  } catch (error) {
    // what went wrong may be that it has gone, with its files
    checkThere(deps, container, commit.ref);
    throw error;
  } finally {
    // also when nobody has come to read it
    await differences.return();
  }
}

function imageOptions(deps: ContentsDeps, container: Container, { ref, config, options }: Commit): CommitImageOptions {
  const { id, spec } = container;
  return {
    store: deps.images,
    layers: deps.layers,
    signal: options.signal ?? new AbortController().signal,
    parent: isDigest(spec.imageId) ? deps.images.tryGet(spec.imageId) : undefined,
    topLayer: spec.topLayer,
    containerId: id,
    runConfig: config,
    createdBy: (spec.config.Cmd ?? []).join(" "),
    author: options.author,
    comment: options.comment,
    check: () => checkThere(deps, container, ref),
  };
}

/** What a layer can't hold: sockets, which tar doesn't know, and names that stand for what is deleted. */
function isUnfit(difference: Difference): boolean {
  if (RESERVED_NAME.test(difference.path)) return true;
  return difference.kind !== "deleted" && (difference.file.stat.mode & S_IFMT) === S_IFSOCK;
}

function isCommitted(difference: Difference): boolean {
  if (isUnfit(difference)) return false;
  return difference.kind === "deleted" ? !difference.isImplied : difference.isTouched || difference.isOpaque;
}

/**
 * The layer's tar: each changed file, `.wh.<name>` in the place of what is deleted, `.wh..wh..opq` in an opaque directory. Chunks are lent.
 * @see https://github.com/opencontainers/image-spec/blob/v1.1.1/layer.md#representing-changes
 */
async function* layerTar(first: Difference, rest: AsyncIterable<Difference>): AsyncGenerator<Uint8Array, void, void> {
  const packer = new TarPacker({ lent: true });
  yield* pack(packer, first);
  for await (const difference of rest) yield* pack(packer, difference);
  yield* packer.finish();
}

function* pack(packer: TarPacker, difference: Difference): Generator<Uint8Array, void, void> {
  const { path } = difference;
  if (difference.kind === "deleted") {
    const slash = path.lastIndexOf("/") + 1;
    yield* packer.entry(whiteout(`${path.slice(0, slash)}.wh.${path.slice(slash)}`));
    return;
  }
  yield* packer.add(difference.file, path);
  if (difference.isOpaque) yield* packer.entry(whiteout(`${path}/.wh..wh..opq`));
}

function whiteout(name: string): { readonly type: "file"; readonly name: string; readonly mode: number } {
  return { type: "file", name, mode: 0o600 };
}
