export { type NetworkInspectFull, type NetworksApiDeps, NetworksService } from "./networks-api.ts";
