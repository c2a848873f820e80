import { readdirSync, realpathSync } from "node:fs";
import { errnoCode, errorMessage, type Logger } from "../lib/mod.ts";
import { CDI_DIRECTORIES, CdiRegistry } from "../runtime/mod.ts";
import type { DaemonConfig } from "./config.ts";

/** Where devices are described: docker's places when nothing is given; one empty path stands for none. Undefined: it is switched off. */
export function cdiSpecDirs(
  given: readonly string[] | undefined,
  features: Readonly<Record<string, string>>,
): readonly string[] | undefined {
  if (features["cdi"] === "false") return undefined;
  return (given ?? CDI_DIRECTORIES).filter((directory) => directory !== "");
}

/** The directories that can be read, by the paths that links lead to; one that isn't there may come. */
function usableDirectories(directories: readonly string[], log: Logger): readonly string[] {
  return directories.flatMap((directory) => {
    try {
      readdirSync(directory);
      return [realpathSync(directory)];
    } catch (error) {
      if (errnoCode(error) === "ENOENT") return [directory];
      log.error("CDI spec directory cannot be accessed, skipping", { dir: directory, error: errorMessage(error) });
      return [];
    }
  });
}

/** The devices of the Container Device Interface; undefined where it is switched off. What is wrong with the files stands in the log. */
export function openCdi({ cdiSpecDirs }: DaemonConfig, log: Logger): CdiRegistry | undefined {
  if (cdiSpecDirs === undefined) return undefined;
  const registry = new CdiRegistry(usableDirectories(cdiSpecDirs, log), { log });
  // nothing waits for it: each start of a container that wants a device looks again
  void registry.report().catch((error: unknown) => log.error("Failed to create CDI cache", { error }));
  return registry;
}
