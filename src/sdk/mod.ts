export * from "./address.ts";
export type { PreciseEvent } from "./api/system.ts";
export * from "./client.ts";
export type { HttpRequest, HttpResponse } from "./http.ts";
export { jsonLines } from "./ndjson.ts";
export { filtersParameter, imagePath, platformParameter, segment, target } from "./query.ts";
export type { TlsOptions } from "./tls.ts";
export { CLIENT_API_VERSION, type ClientOptions, type Pong } from "./transport.ts";
