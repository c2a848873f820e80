export { Cluster } from "./cluster.ts";
export { Etcd } from "./etcd.ts";
export { OVERLAY_DRIVER, OverlayDriver } from "./overlay-driver.ts";
export type { ClusterSettings } from "./settings.ts";
