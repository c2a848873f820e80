import { createdNs, type Image, manifestDescriptor, platformOf } from "../../images/mod.ts";
import { DhowError, ZERO_TIME } from "../../lib/mod.ts";
import type { ImageHistoryResponseItem, ImageInspect } from "../../spec/engine/mod.ts";
import { formatPlatform, parsePlatform, platformMatches } from "../../spec/oci/mod.ts";
import type { ImageDeps } from "./deps.ts";

/** Fields that older API versions show; versions.ts of the server takes them away where they don't belong. */
export interface ImageInspectFull extends ImageInspect {
  readonly Parent: string;
  readonly DockerVersion: string;
  readonly VirtualSize: number;
}

/** The image that `ref` means, if it is for the platform that was asked for. @throws notFound */
export function resolveFor(deps: ImageDeps, ref: string, platform: string | undefined): Image {
  const image = deps.store.resolve(ref);
  if (platform === undefined || platform === "") return image;
  const wanted = parsePlatform(platform);
  const actual = platformOf(image.config);
  if (platformMatches(wanted, actual)) return image;
  throw new DhowError(
    "notFound",
    `image with reference ${ref} was found but its platform (${formatPlatform(actual)}) does not match the specified platform (${formatPlatform(wanted)})`,
  );
}

/** Checks that an image is for one of `platforms`; an empty list asks for none. @throws notFound */
export function checkPlatforms(deps: ImageDeps, ref: string, platforms: readonly string[]): void {
  const actual = platformOf(deps.store.resolve(ref).config);
  if (!platforms.some((platform) => platformMatches(parsePlatform(platform), actual))) resolveFor(deps, ref, platforms[0]);
}

function runConfig(image: Image): NonNullable<ImageInspect["Config"]> {
  const config = image.config.config ?? {};
  const { Healthcheck, ArgsEscaped, StopSignal, Shell, ExposedPorts } = config;
  return {
    User: config.User ?? "",
    ...(ExposedPorts ? { ExposedPorts } : {}),
    Env: config.Env ?? null,
    Cmd: config.Cmd ?? null,
    ...(Healthcheck ? { Healthcheck } : {}),
    ...(ArgsEscaped ? { ArgsEscaped } : {}),
    Volumes: config.Volumes ?? null,
    WorkingDir: config.WorkingDir ?? "",
    Entrypoint: config.Entrypoint ?? null,
    OnBuild: config.OnBuild ?? null,
    Labels: config.Labels ?? null,
    ...(StopSignal ? { StopSignal } : {}),
    ...(Shell ? { Shell } : {}),
  };
}

/** Where the image's layers are on disk, in the form of docker's overlay2 driver. */
function graphDriver(deps: ImageDeps, image: Image): NonNullable<ImageInspect["GraphDriver"]> {
  const paths = image.layers.map((layer) => deps.layers.rootfsPath(layer));
  const top = paths.at(-1);
  const lower = paths.slice(0, -1).reverse().join(":");
  const data = { ...(lower === "" ? {} : { LowerDir: lower }), ...(top === undefined ? {} : { UpperDir: top }) };
  return { Name: deps.driver, Data: Object.keys(data).length > 0 ? data : null };
}

/** Everything about an image. @throws notFound */
export function inspectImage(deps: ImageDeps, ref: string, options: { readonly platform?: string | undefined }): ImageInspectFull {
  const image = resolveFor(deps, ref, options.platform);
  const { config } = image;
  const { variant } = config;
  const osVersion = config["os.version"];
  return {
    Id: image.id,
    RepoTags: image.names,
    RepoDigests: image.digests,
    Parent: image.parent ?? "",
    Comment: config.comment || config.history?.at(-1)?.comment || "",
    ...(image.createdAt === null ? {} : { Created: image.createdAt }),
    DockerVersion: config.docker_version ?? "",
    Author: config.author ?? "",
    Config: runConfig(image),
    Architecture: config.architecture,
    ...(variant === undefined ? {} : { Variant: variant }),
    Os: config.os,
    ...(osVersion === undefined ? {} : { OsVersion: osVersion }),
    Size: image.sizeBytes,
    VirtualSize: image.sizeBytes,
    GraphDriver: graphDriver(deps, image),
    RootFS: { Type: "layers", ...(config.rootfs.diff_ids.length > 0 ? { Layers: config.rootfs.diff_ids } : {}) },
    Metadata: { LastTagTime: image.lastTaggedAt ?? ZERO_TIME },
    Descriptor: manifestDescriptor(image, deps.store, deps.layers),
  };
}

/** How an image was made, newest row first. @throws notFound; internal when the config has more rows with a layer than layers */
export function imageHistory(
  deps: ImageDeps,
  ref: string,
  options: { readonly platform?: string | undefined },
): ImageHistoryResponseItem[] {
  const image = resolveFor(deps, ref, options.platform);
  let layer = 0;
  const rows = (image.config.history ?? []).map((row): ImageHistoryResponseItem => {
    const isEmpty = row.empty_layer === true;
    const chain = isEmpty ? undefined : image.layers[layer++];
    if (!isEmpty && chain === undefined) throw new DhowError("internal", "too many non-empty layers in History section");
    return {
      Id: "<missing>",
      Created: Number(createdNs({ createdAt: row.created ?? null }) / 1_000_000_000n),
      CreatedBy: row.created_by ?? "",
      Tags: null,
      Size: (chain === undefined ? undefined : deps.layers.get(chain)?.sizeBytes) ?? 0,
      Comment: row.comment ?? "",
    };
  });
  // The newest rows are images of their own when they were built here.
  let own: Image | undefined = image;
  return rows.reverse().map((row) => {
    if (!own) return row;
    const { id, names, parent } = own;
    own = parent === null ? undefined : deps.store.tryGet(parent);
    return { ...row, Id: id, Tags: names.length > 0 ? names : null };
  });
}
