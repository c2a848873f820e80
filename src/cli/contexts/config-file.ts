import { readConfig, writeConfig } from "../config-file.ts";

/** The context that `context use` chose; empty when none is. */
export function currentContext(configDir: string): string {
  const { currentContext } = readConfig(configDir);
  return typeof currentContext === "string" ? currentContext : "";
}

/** Chooses a context; the empty name is the default one. */
export function setCurrentContext(configDir: string, name: string): void {
  const { currentContext: before, ...rest } = readConfig(configDir);
  if ((before ?? "") === name) return;
  writeConfig(configDir, { ...rest, ...(name === "" ? {} : { currentContext: name }) });
}
