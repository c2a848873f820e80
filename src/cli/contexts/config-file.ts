import { errorMessage } from "../../lib/mod.ts";
import { readConfig, writeConfig } from "../config-file.ts";

/** The context that `context use` chose; empty when none is. A file that can't be read is only warned of. */
export function currentContext(configDir: string, warn: (line: string) => void): string {
  try {
    const { currentContext } = readConfig(configDir);
    return typeof currentContext === "string" ? currentContext : "";
  } catch (error) {
    warn(`WARNING: ${errorMessage(error)}`);
    return "";
  }
}

/** Chooses a context; the empty name is the default one. */
export function setCurrentContext(configDir: string, name: string): void {
  const { currentContext: before, ...rest } = readConfig(configDir);
  if ((before ?? "") === name) return;
  writeConfig(configDir, { ...rest, ...(name === "" ? {} : { currentContext: name }) });
}
