export { type CallOptions, Plugin } from "./plugin.ts";
export { Plugins, type PluginsDeps, pluginError } from "./plugins.ts";
export type { PluginAddress } from "./spec-file.ts";
