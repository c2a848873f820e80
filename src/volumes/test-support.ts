import { silentLogger } from "../lib/mod.ts";
import { Plugins } from "../plugins/mod.ts";

/** For tests: a host without plug-ins. */
export const noPlugins = new Plugins({ socketDir: "/nonexistent", specDirs: [], timeoutMs: 1000, log: silentLogger });
