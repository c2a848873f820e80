export { type ImageDeps, type ImageUser, tagImage } from "./deps.ts";
export { Images } from "./images-api.ts";
export { ImageTransfer } from "./transfer.ts";
