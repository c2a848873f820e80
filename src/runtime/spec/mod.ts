export * from "./build.ts";
export { CAPABILITY_NAMES, capabilityNames, containerCapabilities, DEFAULT_CAPABILITIES } from "./capabilities.ts";
export { DEFAULT_DEVICE_RULES, parseDeviceRule } from "./devices.ts";
export { ULIMIT_NAMES, type Ulimit } from "./limits.ts";
export * from "./modes.ts";
export { containerResources } from "./resources.ts";
export { defaultSeccomp, parseSeccomp, type SeccompContext } from "./seccomp.ts";
export { parseSecurityOptions, type SecurityOptions } from "./security-options.ts";
export * from "./validate.ts";
