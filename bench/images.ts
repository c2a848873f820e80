/** The images that the rows run: made by dhow out of the distribution's packages, once, then kept as archives. */
import { existsSync, mkdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import type { Docker, Engine } from "./engine.ts";

const IMAGES = [
  { source: "distro/busybox", name: "busybox:latest", file: "busybox.tar" },
  { source: "distro/debian:bookworm", name: "deb:base", file: "debian.tar" },
] as const;

/** Gives both engines the images. Returns the archives. */
export function provideImages(
  docker: Docker,
  engines: { readonly dhow: Engine; readonly dockerd: Engine },
  cache: string,
  progress: (text: string) => void,
): { readonly busybox: string; readonly debian: string } {
  mkdirSync(cache, { recursive: true });
  for (const { source, name, file } of IMAGES) {
    const archive = join(cache, file);
    if (!existsSync(archive)) {
      progress(`making ${name} from ${source}\n`);
      docker.run(engines.dhow, ["pull", source]);
      docker.run(engines.dhow, ["tag", source, name]);
      docker.run(engines.dhow, ["save", "-o", `${archive}.new`, name]);
      docker.run(engines.dhow, ["rmi", source, name]);
      renameSync(`${archive}.new`, archive);
    }
    for (const engine of [engines.dhow, engines.dockerd]) docker.run(engine, ["load", "-i", archive]);
  }
  return { busybox: join(cache, IMAGES[0].file), debian: join(cache, IMAGES[1].file) };
}
