import { DhowError } from "../lib/mod.ts";
import { addRoute, deleteRoute, type Fd, findLink, insideNetns, NETLINK, NetlinkSocket, SysError, strerror } from "../linux/mod.ts";
import type { Held } from "./held.ts";
import { type Family, ipBytes, parseIp } from "./ip.ts";
import { gatewayEndpoint, type HeldEndpoint } from "./sandbox.ts";

interface DefaultRoute {
  readonly family: Family;
  readonly gateway: Uint8Array | undefined;
  readonly index: number;
}

/** The default route of a family that an endpoint stands for, as long as its interface is there. */
function routeOf(inside: NetlinkSocket, family: Family, endpoint: HeldEndpoint | undefined): DefaultRoute | undefined {
  const gateway = endpoint?.network.on.gateway(family);
  const index = endpoint && findLink(inside, endpoint.interfaceName)?.index;
  if (gateway === undefined || index === undefined) return undefined;
  return { family, gateway: gateway === "" ? undefined : ipBytes(parseIp(gateway)), index };
}

/**
 * Gives a sandbox's default routes to the endpoints that are to have them, one for each family; `before` are those that it had until now.
 * Routes that the container made itself stay, and are in the way of ours.
 * @throws internal in docker's words
 */
export function routeByGateways(home: Fd, { netns, endpoints }: Pick<Held, "netns" | "endpoints">, before: readonly HeldEndpoint[]): void {
  if (netns === undefined) return;
  insideNetns(home, netns.fd, () => {
    using inside = new NetlinkSocket(NETLINK.ROUTE, { receiveBytes: 32768 });
    for (const family of [4, 6] as const) {
      const [was, is] = [gatewayEndpoint(before, family), gatewayEndpoint(endpoints, family)];
      if (was?.plugged.endpointId === is?.plugged.endpointId) continue;
      const [former, wanted] = [routeOf(inside, family, was), routeOf(inside, family, is)];
      if (former !== undefined) inside.requestAll([deleteRoute(former)]);
      if (wanted === undefined) continue;
      const [failed] = inside.requestAll([addRoute(wanted)]);
      if (failed !== undefined) throw refusal(family, failed);
    }
  });
}

function refusal(family: Family, cause: Error): DhowError {
  const why = cause instanceof SysError ? strerror(cause.errno) : cause.message;
  return new DhowError("internal", `failed to set ${family === 4 ? "" : "IPv6 "}gateway: ${why}`, { cause });
}
