export * from "./compression.ts";
export { BLOCK, type SparseExtent, type TarHeader, type TarType } from "./header.ts";
export * from "./name.ts";
export { readTar, type TarEntry, TarReader, type TarReaderOptions, unexpectedEof } from "./reader.ts";
export * from "./writer.ts";
