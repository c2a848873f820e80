export { Cluster } from "./cluster.ts";
export { Encryption } from "./encryption.ts";
export { Etcd } from "./etcd.ts";
export { OverlayGuard } from "./guard.ts";
export { OVERLAY_DRIVER, OverlayDriver } from "./overlay-driver.ts";
export type { ClusterSettings } from "./settings.ts";
