export { type AccountFiles, HOST_ACCOUNTS } from "./accounts.ts";
export { type AutoUserns, allocateMappings, type IdPool, isAutoUserns, parseAutoUserns, readIdPool } from "./auto.ts";
export { validateUserns } from "./conflicts.ts";
export { areSameMappings, hostOwner, hostRoot, type IdMappings, idsFromZero, mapText, ownerInside, ownerOutside } from "./id-mapping.ts";
export { remappedRoot } from "./remap.ts";
