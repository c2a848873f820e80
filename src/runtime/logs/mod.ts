export {
  type ClockNs,
  createClockNs,
  type LogDriver,
  type LogReadOptions,
  type LogWriter,
  WHOLE_LOG,
} from "./driver.ts";
export { LocalLog, type LocalLogOptions } from "./local.ts";
export { NoLog } from "./none.ts";
