export { closing } from "./closing.ts";
export { encodeError, FRAME } from "./frames.ts";
export { HelperProcess, type OnFault } from "./helper-process.ts";
export { type HelperEnd, runHelper } from "./serve.ts";
