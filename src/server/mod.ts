export { scanJson } from "./go-syntax.ts";
export type { ListenAddress, Listener } from "./listen.ts";
export * from "./metrics/mod.ts";
export { type ApiServer, createServer, type ServerOptions } from "./server.ts";
export type { ServerTls } from "./tls.ts";
export { API_VERSION, MIN_API_VERSION } from "./versions.ts";
