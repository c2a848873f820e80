import type { Logger } from "../lib/mod.ts";
import { deleteLink, type Fd, insideNetns, listLinks, NETLINK, NetlinkSocket } from "../linux/mod.ts";
import type { DriverNetwork } from "./drivers/driver.ts";
import { UNNAMED } from "./drivers/lan.ts";

/** Whether the interfaces of a network's endpoints are found by the bridge that they are on, whenever the daemon was killed. */
export function isFoundAfterCrash({ bridge }: Pick<DriverNetwork, "bridge">): boolean {
  return bridge !== undefined;
}

export interface HalfPlugged {
  /** The daemon's own namespace. */
  readonly home: Fd;
  /** The container's. */
  readonly netns: Fd;
  /** Names of interfaces that the last daemon was making or taking away. */
  readonly noted: readonly string[];
  /** Names of those that it has. */
  readonly kept: ReadonlySet<string>;
  readonly log: Logger;
}

/** Takes interfaces out of a running container that the last daemon was making, or taking away, when it was killed. */
export function removeHalfPlugged({ home, netns, noted, kept, log }: HalfPlugged): void {
  if (noted.length === 0) return;
  insideNetns(home, netns.fd, () => {
    using inside = new NetlinkSocket(NETLINK.ROUTE);
    const half = listLinks(inside).filter(({ name }) => (noted.includes(name) && !kept.has(name)) || UNNAMED.test(name));
    const failures = inside.requestAll(half.map(({ name }) => deleteLink(name)));
    for (const error of failures) if (error !== undefined) log.warn("can't take a half-made interface out of a container", { error });
  });
}
