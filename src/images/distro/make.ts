import { randomBytes } from "node:crypto";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { DhowError, type Logger } from "../../lib/mod.ts";
import type { LayerStore } from "../../snapshots/mod.ts";
import { SERVES_LABEL } from "../../spec/engine/mod.ts";
import { formatPlatform, hostPlatform, type OciImageRunConfig, type OciPlatform, platformMatches } from "../../spec/oci/mod.ts";
import { familiarString, type Reference } from "../../spec/reference.ts";
import type { Image } from "../image.ts";
import { importRootfs } from "../import.ts";
import { type Report, withByteProgress } from "../progress.ts";
import type { ImageStore } from "../store.ts";
import { busyboxRootfs } from "./busybox.ts";
import type { DistroRootfs } from "./rootfs.ts";
import { type DistroSpec, parseDistroSpec } from "./spec.ts";
import { systemRootfs } from "./system.ts";
import type { ToolOptions } from "./tool.ts";

const PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

export interface DistroOptions {
  readonly store: ImageStore;
  readonly layers: LayerStore;
  /** A directory for the tools' trees. */
  readonly temporary: string;
  readonly include: readonly string[];
  readonly platform: OciPlatform;
  readonly signal: AbortSignal;
  readonly report: Report;
  readonly log: Logger;
}

/** Says what clients wait for in its log, and does nothing more; killed, because a first process hears no signal that it has no handler for. */
const REAPER_CONFIG: OciImageRunConfig = {
  Env: [PATH],
  Cmd: ["sh", "-c", "echo Started; exec tail -f /dev/null"],
  ExposedPorts: { "8080/tcp": {} },
  Labels: { [SERVES_LABEL]: "reaper" },
  StopSignal: "SIGKILL",
};

async function rootfsOf(spec: DistroSpec, options: DistroOptions, tools: ToolOptions): Promise<DistroRootfs> {
  if (spec.kind === "system") return systemRootfs(spec, options.include, options.report, tools);
  if (options.include.length > 0) throw new DhowError("invalid", "distro/busybox has no packages to include; take distro/debian:<suite>");
  return busyboxRootfs(options.report, tools);
}

/**
 * Makes the image that a `distro/…` reference asks for from the distribution's packages, and adds it to the store without a name.
 * Whatever happens, the tools have ended and their files are gone when this settles.
 * @throws notFound for an unknown distribution or a foreign platform; unavailable for missing tools; the signal's reason when cancelled
 */
export async function makeDistroImage(source: Reference, options: DistroOptions): Promise<Image> {
  const { store, layers, platform, signal, report } = options;
  const name = familiarString(source);
  if (!platformMatches(platform, hostPlatform())) {
    throw new DhowError(
      "notFound",
      `image with reference ${name} was found but does not provide the specified platform (${formatPlatform(platform)})`,
    );
  }
  const directory = join(options.temporary, `distro-${randomBytes(6).toString("hex")}`);
  await mkdir(directory, { recursive: true, mode: 0o755 });
  try {
    const onLine = (line: string): void => options.log.debug("distro tool", { line });
    const spec = parseDistroSpec(source);
    const rootfs = await rootfsOf(spec, options, { cwd: directory, signal, onLine, environment: { TMPDIR: directory } });
    const tar = withByteProgress(rootfs.tar, { report, id: "layer", status: "Unpacking the layer", totalBytes: 0 });
    return await importRootfs(tar, {
      store,
      layers,
      signal,
      platform: hostPlatform(),
      runConfig: spec.kind === "reaper" ? REAPER_CONFIG : { Env: [PATH], Cmd: rootfs.command },
      createdAt: rootfs.madeAt.toISOString().replace(".000Z", "Z"),
      message: "",
      createdBy: rootfs.madeBy,
      name,
    });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
