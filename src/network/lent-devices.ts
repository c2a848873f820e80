import { DhowError, errorMessage, type Logger } from "../lib/mod.ts";
import {
  addIpAddress,
  type Fd,
  findLink,
  insideNetns,
  isErrno,
  type Link,
  listIpAddresses,
  moveLink,
  NETLINK,
  NetlinkSocket,
  setLink,
} from "../linux/mod.ts";
import { formatIp, ipBytes, ipOfBytes, parsePrefix } from "./ip.ts";

/** An interface of the host that a container is to have. */
export interface NetDevice {
  /** What it is called on the host. */
  readonly hostName: string;
  /** What it is called in the container. */
  readonly name: string;
}

/** An interface that a container has of the host, and what it was there. */
export interface LentDevice extends NetDevice {
  readonly mac: string;
  readonly isUp: boolean;
  /** `192.0.2.1/24`, those that are valid beyond the link. */
  readonly addresses: readonly string[];
}

/** Where the host is. */
export interface LendingHost {
  readonly home: Fd;
  readonly route: NetlinkSocket;
}

function failed({ hostName }: NetDevice, reason: string, cause?: unknown): DhowError {
  return new DhowError("internal", `failed to move network device ${JSON.stringify(hostName)} into the container: ${reason}`, { cause });
}

/**
 * Interfaces as they are now, before they go to a container.
 * @throws internal when there is no such interface, or its name is taken in the container: the kernel would move it all the same and only
 *   then refuse the name
 */
export function describeDevices({ home, route }: LendingHost, netns: Fd, devices: readonly NetDevice[]): LentDevice[] {
  using inside = insideNetns(home, netns.fd, () => new NetlinkSocket(NETLINK.ROUTE));
  const taken = new Set<string>();
  return devices.map((device) => {
    const link = findLink(route, device.hostName);
    if (link === undefined) throw failed(device, "no such device");
    if (taken.has(device.name) || findLink(inside, device.name) !== undefined)
      throw failed(device, `the name ${JSON.stringify(device.name)} is taken there`);
    taken.add(device.name);
    const addresses = listIpAddresses(route).filter(({ index, isGlobal }) => index === link.index && isGlobal);
    return {
      ...device,
      mac: link.mac,
      isUp: link.isUp,
      addresses: addresses.map(({ address, prefixLength }) => `${formatIp(ipOfBytes(address))}/${prefixLength}`),
    };
  });
}

/** An interface that came to another namespace, or has another name, is down and has no addresses. */
function settle(socket: NetlinkSocket, link: Link, addresses: readonly string[], isUp: boolean): void {
  for (const text of addresses) {
    const { family, address: value, length } = parsePrefix(text);
    try {
      socket.request(addIpAddress(link.index, ipBytes({ family, value }), length));
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error;
    }
  }
  if (isUp) socket.request(setLink(link.index, { up: true }));
}

function found(socket: NetlinkSocket, name: string): Link {
  const link = findLink(socket, name);
  if (link === undefined) throw new DhowError("internal", `find the link ${JSON.stringify(name)} after it was moved: there is none`);
  return link;
}

/**
 * Moves interfaces into a container's namespace, where they are up and have the addresses that they had; all or none.
 * @throws internal when one can't be moved: a name is taken, or it is of a kind that stays where it is
 * @see https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#network-devices
 */
export function lendDevices(host: LendingHost, netns: Fd, devices: readonly LentDevice[], log: Logger): void {
  using inside = insideNetns(host.home, netns.fd, () => new NetlinkSocket(NETLINK.ROUTE));
  const moved: LentDevice[] = [];
  for (const device of devices) {
    try {
      const { index } = found(host.route, device.hostName);
      moved.push(device);
      host.route.request(moveLink(index, { netnsFd: netns.fd, name: device.name }));
      settle(inside, found(inside, device.name), device.addresses, true);
    } catch (cause) {
      takeBackDevices(host, netns, moved, log);
      throw failed(device, errorMessage(cause), cause);
    }
  }
}

/**
 * A lent interface where it is now. One whose name was refused after it was moved has the one that it had on the host; one that the container
 * gave another address is known by its name alone.
 */
function inContainer(inside: NetlinkSocket, { name, hostName, mac }: LentDevice): Link | undefined {
  const [byName, byHostName] = [findLink(inside, name), findLink(inside, hostName)];
  return [byName, byHostName].find((link) => link?.mac === mac) ?? byName;
}

/**
 * Gives interfaces back to the host as they were. Where the namespace is gone (undefined), the kernel has moved those of hardware home by
 * itself, by the names that they had there, and has removed the others.
 */
export function takeBackDevices(host: LendingHost, netns: Fd | undefined, devices: readonly LentDevice[], log: Logger): void {
  for (const device of devices) {
    const { hostName, name, mac, addresses, isUp } = device;
    try {
      if (netns === undefined) {
        const link = findLink(host.route, name);
        if (link?.mac !== mac || name === hostName || findLink(host.route, hostName) !== undefined) continue;
        host.route.request(setLink(link.index, { up: false }), setLink(link.index, { name: hostName }));
      } else {
        using inside = insideNetns(host.home, netns.fd, () => new NetlinkSocket(NETLINK.ROUTE));
        const link = inContainer(inside, device);
        if (link === undefined) continue;
        inside.request(moveLink(link.index, { netnsFd: host.home.fd, name: hostName }));
      }
      settle(host.route, found(host.route, hostName), addresses, isUp);
    } catch (error) {
      log.warn("a network device could not be given back to the host", { device: hostName, error });
    }
  }
}
