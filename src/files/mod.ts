export * from "./attributes.ts";
export { type ExtractOptions, extract } from "./extract.ts";
export { type PackOptions, pack } from "./pack.ts";
export { headerAttributes, type PayloadOptions, writePayload } from "./payload.ts";
export { type Directory, FileView, type Place, type ViewMount } from "./view.ts";
