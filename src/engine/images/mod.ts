export { type ImageDeps, type ImageUser, tagImage } from "./deps.ts";
export { ImageGc } from "./gc/gc.ts";
export type { ImageGcSettings } from "./gc/settings.ts";
export { Images } from "./images-api.ts";
export { ImageTransfer } from "./transfer.ts";
