import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import { createLogger, silentLogger } from "../lib/mod.ts";
import {
  addIpAddress,
  addVeth,
  CLONE_NEWNET,
  createNetnsFd,
  currentNetns,
  type Fd,
  findLink,
  insideNetns,
  listIpAddresses,
  NETLINK,
  NetlinkSocket,
  setLink,
  setns,
} from "../linux/mod.ts";
import { formatIp, ipBytes, ipOfBytes, parseIp } from "./ip.ts";
import { describeDevices, type LendingHost, lendDevices, type NetDevice, takeBackDevices } from "./lent-devices.ts";

const cannot = process.getuid?.() === 0 ? undefined : "not root";

describe.skipIf(cannot !== undefined)(`interfaces of the host${cannot === undefined ? "" : ` (skipped: ${cannot})`}`, () => {
  const origin = cannot === undefined ? currentNetns() : undefined;
  const opened = new DisposableStack();
  let host: LendingHost;
  let sandbox: Fd;

  /** A host of its own each time, with the interfaces `nic0` and `nic1`. */
  beforeEach(() => {
    if (origin === undefined) return;
    setns(origin.fd, CLONE_NEWNET);
    const home = opened.use(createNetnsFd(origin, () => {}));
    setns(home.fd, CLONE_NEWNET);
    sandbox = opened.use(createNetnsFd(home, () => {}));
    const route = opened.use(new NetlinkSocket(NETLINK.ROUTE));
    route.request(addVeth({ name: "nic0" }, { name: "nic1" }));
    const index = findLink(route, "nic0")?.index ?? 0;
    for (const [address, length] of [["192.0.2.1", 24] as const, ["2001:db8::1", 64] as const])
      route.request(addIpAddress(index, ipBytes(parseIp(address)), length));
    route.request(setLink(index, { up: true }));
    host = { home, route };
  });
  afterAll(() => {
    if (origin !== undefined) setns(origin.fd, CLONE_NEWNET);
    opened.dispose();
    origin?.close();
  });

  interface Shown {
    readonly isUp: boolean;
    readonly addresses: readonly string[];
  }

  /** An interface as a namespace has it. */
  function shown(socket: NetlinkSocket, name: string): Shown | undefined {
    const link = findLink(socket, name);
    if (link === undefined) return undefined;
    const own = listIpAddresses(socket).filter(({ index, isGlobal }) => index === link.index && isGlobal);
    const addresses = own.map(({ address, prefixLength }) => `${formatIp(ipOfBytes(address))}/${prefixLength}`).sort();
    return { isUp: link.isUp, addresses };
  }
  const inSandbox = (name: string): Shown | undefined => {
    using socket = insideNetns(host.home, sandbox.fd, () => new NetlinkSocket(NETLINK.ROUTE));
    return shown(socket, name);
  };
  const ADDRESSES = ["192.0.2.1/24", "2001:db8::1/64"];
  const lend = (...devices: readonly NetDevice[]) => {
    const lent = describeDevices(host, sandbox, devices);
    lendDevices(host, sandbox, lent, silentLogger);
    return lent;
  };

  test("are up and have their addresses in a container, and are back as they were", () => {
    const lent = lend({ hostName: "nic0", name: "data0" }, { hostName: "nic1", name: "data1" });
    expect([inSandbox("data0"), inSandbox("data1")]).toEqual([
      { isUp: true, addresses: ADDRESSES },
      { isUp: true, addresses: [] },
    ]);
    expect(shown(host.route, "nic0")).toBeUndefined();
    takeBackDevices(host, sandbox, lent, silentLogger);
    expect([shown(host.route, "nic0"), shown(host.route, "nic1")]).toEqual([
      { isUp: true, addresses: ADDRESSES },
      { isUp: false, addresses: [] },
    ]);
    takeBackDevices(host, sandbox, lent, silentLogger);
    expect(inSandbox("data0")).toBeUndefined();
  });

  test("stay where they are when one of them can't be moved", () => {
    const failing = (): unknown => lend({ hostName: "nic0", name: "same" }, { hostName: "nic1", name: "same" });
    expect(failing).toThrow('failed to move network device "nic1" into the container: the name "same" is taken there');
    expect(() => lend({ hostName: "nic0", name: "lo" })).toThrow('the name "lo" is taken there');
    expect(shown(host.route, "nic0")).toEqual({ isUp: true, addresses: ADDRESSES });
    expect(() => lend({ hostName: "nic7", name: "x" })).toThrow('failed to move network device "nic7" into the container: no such device');
  });

  test("come back when the kernel has moved one and then refuses its name, and the container's own stay", () => {
    const devices = [
      { hostName: "nic0", name: "data0" },
      { hostName: "nic1", name: "eth0" },
    ];
    const lent = describeDevices(host, sandbox, devices);
    using inside = insideNetns(host.home, sandbox.fd, () => new NetlinkSocket(NETLINK.ROUTE));
    inside.request(addVeth({ name: "eth0" }, { name: "eth1" }));
    const own = findLink(inside, "eth0")?.mac;
    expect(() => lendDevices(host, sandbox, lent, silentLogger)).toThrow('failed to move network device "nic1"');
    expect(shown(host.route, "nic0")).toEqual({ isUp: true, addresses: ADDRESSES });
    expect(shown(host.route, "nic1")).toBeDefined();
    expect(findLink(inside, "eth0")?.mac).toBe(own);
  });

  test("get their names again when the kernel brought them home", () => {
    const lent = describeDevices(host, sandbox, [{ hostName: "nic0", name: "data0" }]);
    const { index } = findLink(host.route, "nic0") ?? { index: 0 };
    host.route.request(setLink(index, { up: false }), setLink(index, { name: "data0" }));
    takeBackDevices(host, undefined, lent, silentLogger);
    expect(shown(host.route, "nic0")).toEqual({ isUp: true, addresses: ADDRESSES });
    // another one that has the name by now is left alone
    const described = describeDevices(host, sandbox, [{ hostName: "nic1", name: "data1" }]);
    const other = described.map((device) => ({ ...device, name: "nic0", hostName: "nic9" }));
    takeBackDevices(host, undefined, other, silentLogger);
    expect(shown(host.route, "nic0")?.isUp).toBe(true);
  });

  test("that can't go home are told of", () => {
    const lent = lend({ hostName: "nic0", name: "data0" });
    host.route.request(setLink(findLink(host.route, "nic1")?.index ?? 0, { name: "nic0" }));
    const lines: string[] = [];
    const log = createLogger({ level: "warn", format: "json", write: (line) => void lines.push(line) });
    takeBackDevices(host, sandbox, lent, log);
    expect(lines.map((line) => JSON.parse(line).device)).toEqual(["nic0"]);
  });
});
