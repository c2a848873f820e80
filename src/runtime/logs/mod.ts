export type { LogSubject } from "./attributes.ts";
export { type ClockNs, type LogDriver, type LogReadOptions, type LogWriter, WHOLE_LOG } from "./driver.ts";
export { JsonFileLog, type JsonFileOptions } from "./json-file.ts";
export { LocalLog, type LocalLogOptions } from "./local.ts";
export { NoLog } from "./none.ts";
export type { LogOptions } from "./option-values.ts";
export {
  cacheDefaults,
  createLogDriver,
  isRemoteLogDriver,
  LOG_DRIVERS,
  type LogDriverDeps,
  validateDefaultLogOptions,
  validateLogOptions,
} from "./options.ts";
