export { type BlobInfo, BlobStore, type IngestOptions } from "./blob-store.ts";
