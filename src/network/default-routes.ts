import { addRoute, deleteRoute, type Fd, findLink, insideNetns, listIpRoutes, NETLINK, NetlinkSocket } from "../linux/mod.ts";
import type { Held } from "./held.ts";
import { gatewayEndpoint } from "./sandbox.ts";
import { setDefaultRoutes } from "./sandbox-pool.ts";

/** RT_TABLE_MAIN, rtnetlink(7). */
const MAIN_TABLE = 254;

/** Gives a sandbox's default routes to the endpoints that are to have them, one for each family. @throws {NetlinkError} */
export function routeByGateways(home: Fd, { netns, endpoints }: Pick<Held, "netns" | "endpoints">): void {
  if (netns === undefined) return;
  insideNetns(home, netns.fd, () => {
    using inside = new NetlinkSocket(NETLINK.ROUTE, { receiveBytes: 32768 });
    for (const family of [4, 6] as const) {
      const endpoint = gatewayEndpoint(endpoints, family);
      const gateway = endpoint?.network.on.gateway(family);
      const index = endpoint === undefined ? undefined : findLink(inside, endpoint.interfaceName)?.index;
      for (const route of listIpRoutes(inside)) {
        const isDefault = route.prefixLength === 0 && route.destination.length === (family === 4 ? 4 : 16) && route.table === MAIN_TABLE;
        if (isDefault) inside.requestAll([deleteRoute({ family, gateway: route.gateway, index: route.index })]);
      }
      if (gateway === undefined || index === undefined) continue;
      if (gateway === "") inside.request(addRoute({ family, index }));
      else setDefaultRoutes(index, { 4: family === 4 ? gateway : undefined, 6: family === 6 ? gateway : undefined });
    }
  });
}
