export { type ClockNs, createClockNs, type LogDriver, type LogReadOptions, type LogWriter, WHOLE_LOG } from "./driver.ts";
export { JsonFileLog, type JsonFileOptions } from "./json-file.ts";
export { LocalLog, type LocalLogOptions } from "./local.ts";
export { NoLog } from "./none.ts";
export { createLogDriver, LOG_DRIVERS, type LogDriverDeps, type LogOptions, type LogSubject, validateLogOptions } from "./options.ts";
