import { fstatSync, statSync } from "node:fs";
import type { Logger } from "../lib/mod.ts";
import { type Fd, insideNetns, listLinks, NETLINK, NetlinkSocket, O_RDONLY, open } from "../linux/mod.ts";
import type { Held } from "./held.ts";
import type { HeldEndpoint } from "./sandbox.ts";

/** The containers that are in network namespaces of others. */
export interface Joiners {
  /** One of each. */
  readonly pids: readonly number[];
  /** False: there may be more in a moment. */
  readonly isComplete: boolean;
}

export const NO_JOINERS: Joiners = { pids: [], isComplete: true };

/** Whether others are in a network namespace, or may be in a moment. */
export function isJoined(netns: Fd, { pids, isComplete }: Joiners): boolean {
  if (!isComplete) return true;
  if (pids.length === 0) return false;
  const { ino } = fstatSync(netns.fd);
  return pids.some((pid) => statSync(`/proc/${pid}/ns/net`, { throwIfNoEntry: false })?.ino === ino);
}

/** The namespace of a container that ended while no daemon was there, if others are in it that still see its interfaces. */
export function openJoined(
  { home, log }: { readonly home: Fd; readonly log: Logger },
  { endpoints }: Pick<Held, "endpoints">,
  { pids }: Joiners,
): Fd | undefined {
  for (const pid of pids) {
    let netns: Fd | undefined;
    try {
      netns = open(`/proc/${pid}/ns/net`, O_RDONLY);
      const links = insideNetns(home, netns.fd, () => {
        using inside = new NetlinkSocket(NETLINK.ROUTE);
        return listLinks(inside);
      });
      const isThere = ({ interfaceName, plugged: { mac } }: HeldEndpoint): boolean =>
        links.some((link) => link.name === interfaceName && (mac === "" || link.mac === mac));
      if (endpoints.some(isThere)) return netns;
    } catch (error) {
      log.warn("can't look into the network namespace of a container that joined another's", { pid, error });
    }
    netns?.close();
  }
  return undefined;
}
