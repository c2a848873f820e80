export * from "./address.ts";
export * from "./client.ts";
export type { HttpRequest, HttpResponse } from "./http.ts";
export { jsonLines } from "./ndjson.ts";
export type { TlsOptions } from "./tls.ts";
