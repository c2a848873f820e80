export { LeaseBook } from "./book.ts";
export { Expiry } from "./expiry.ts";
export { Leases } from "./leases.ts";
export { ReaperContainers } from "./reaper-containers.ts";
export { type ReaperServer, reaperServer } from "./ryuk.ts";
