export type { ImageDeps, ImageUser } from "./deps.ts";
export { Images } from "./images-api.ts";
export { ImageTransfer } from "./transfer.ts";
