import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { type Fd, isErrno } from "../mod.ts";
import { isRoot } from "../test-support.ts";
import { addIpNeighbour } from "./addresses.ts";
import { addDummy, addIpvlan, addMacvlan, addVlan, addVxlan, IPVLAN_FLAG, IPVLAN_MODE, MACVLAN_MODE, vxlanSource } from "./link-kinds.ts";
import { MessageWriter } from "./message.ts";
import {
  addForwarding,
  addProxyNeighbour,
  appendForwarding,
  deleteForwarding,
  deleteProxyNeighbour,
  listForwarding,
  listNeighbours,
  replaceForwarding,
} from "./neighbours.ts";
import { createNetnsFd, currentNetns, insideNetns } from "./netns.ts";
import { addBridge, addVeth, deleteLink, findLink, moveLink } from "./rtnetlink.ts";
import { NETLINK, NetlinkSocket, type Request } from "./socket.ts";
import { deleteQdisc, listQdiscs, type QdiscPlace, setHtb, setHtbClass, setNetem, setTbf, TC_ROOT, tcHandle } from "./traffic-control.ts";

const hexOf = (request: Request): string => {
  const w = new MessageWriter().message(request.type, request.flags ?? 0, 1, request.body);
  return Buffer.from(w.bytes).toString("hex");
};

// the part of each message that is its kind's own, laid out as in linux/if_link.h, linux/rtnetlink.h and linux/pkt_sched.h
describe("bytes", () => {
  const kind = (name: string): string => Buffer.from(name).toString("hex");

  test("macvlan, ipvlan, vlan, dummy", () => {
    expect(hexOf(addMacvlan({ name: "m", parent: 7, mode: MACVLAN_MODE.vepa }))).toContain("0800050007000000" + "1c001280");
    expect(hexOf(addMacvlan({ name: "m", parent: 7, mode: MACVLAN_MODE.vepa }))).toEndWith("0c000280" + "0800010002000000");
    expect(hexOf(addIpvlan({ name: "i", parent: 7, mode: IPVLAN_MODE.l3s, flag: IPVLAN_FLAG.private }))).toEndWith(
      "14000280" + "0600010002000000" + "0600020001000000",
    );
    expect(hexOf(addVlan({ name: "v.10", parent: 7, id: 10 }))).toEndWith("0c000280" + "060001000a000000");
    expect(hexOf(addDummy({ name: "d" }))).toEndWith(`0a000100${kind("dummy")}000000`);
  });

  test("vxlan: learning and the misses are off", () => {
    const hex = hexOf(addVxlan({ name: "x" }, { vni: 4096, local: Uint8Array.of(10, 0, 0, 1), port: 4789 }));
    expect(hex).toEndWith(
      [
        "3c00" + "0280",
        "0800010000100000",
        "080004000a000001",
        "0500070000000000",
        "05000b0000000000",
        "05000d0000000000",
        "05000e0000000000",
        "06000f0012b50000",
      ].join(""),
    );
  });

  test("queueing disciplines", () => {
    const place = { link: 2, parent: TC_ROOT, handle: tcHandle(1) };
    expect(hexOf(deleteQdisc(place))).toEndWith("00000000" + "02000000" + "00000100" + "ffffffff" + "00000000");
    // 1 Mbit/s: 125,000 bytes per second, a burst of 1,600 bytes in 12.8 ms
    expect(hexOf(setTbf(place, { rateBitsPerSecond: 1_000_000, burstBytes: 1600, limitBytes: 3000 }))).toEndWith(
      "08000600" +
        "40060000" +
        "28000180" +
        "0001000000000000" +
        "48e80100" +
        "0001000000000000" +
        "00000000" +
        "b80b0000" +
        "400d0300" +
        "00000000",
    );
    expect(hexOf(setNetem(place, { delayNs: 80_000_000n, jitterNs: 1_000_000n, loss: 1, limit: 1000 }))).toEndWith(
      "d0121300" +
        "e8030000" +
        "ffffffff" +
        "0000000000000000" +
        "093d0000" +
        "0c000a00" +
        "00b4c40400000000" +
        "0c000b00" +
        "40420f0000000000",
    );
  });
});

const MAC = Uint8Array.of(2, 0x42, 10, 0, 0, 2);
const pair = addVeth({ name: "v0", index: 5 }, { name: "v1", index: 6 });

describe.skipIf(!isRoot)("in the kernel (skipped without root)", () => {
  let home: Fd;
  let netns: Fd;
  let socket: NetlinkSocket;

  const sh = (command: string): string => {
    const { stdout, stderr } = Bun.spawnSync(["nsenter", `--net=/proc/${process.pid}/fd/${netns.fd}`, "sh", "-c", command]);
    return stdout.toString() + stderr.toString();
  };
  const indexOf = (name: string): number => findLink(socket, name)?.index ?? 0;

  beforeAll(() => {
    home = currentNetns();
    netns = createNetnsFd(home, () => {
      socket = new NetlinkSocket(NETLINK.ROUTE);
      socket.request(pair);
    });
  });
  afterAll(() => {
    socket[Symbol.dispose]();
    netns.close();
    home.close();
  });

  test("a macvlan of each mode; it moves with name and index", () => {
    for (const mode of ["bridge", "vepa", "private"] as const) {
      socket.request(addMacvlan({ name: mode, mac: MAC, parent: 5, mode: MACVLAN_MODE[mode] }));
      expect(sh(`ip -d link show ${mode}`)).toContain(`macvlan mode ${mode}`);
      socket.request(deleteLink(mode));
    }
    socket.request(addMacvlan({ name: "m0", mac: MAC, mtu: 1400, parent: 5, mode: MACVLAN_MODE.bridge }));
    using other = createNetnsFd(home, () => {});
    socket.request(moveLink(indexOf("m0"), { netnsFd: other.fd, name: "eth0", index: 2 }));
    expect(findLink(socket, "m0")).toBeUndefined();
    insideNetns(home, other.fd, () => {
      using inside = new NetlinkSocket(NETLINK.ROUTE);
      expect(findLink(inside, "eth0")).toMatchObject({ index: 2, kind: "macvlan", mtu: 1400, mac: "02:42:0a:00:00:02" });
    });
  });

  test("a passthru macvlan has its parent for itself", () => {
    using other = createNetnsFd(home, () => {});
    insideNetns(home, other.fd, () => {
      using inside = new NetlinkSocket(NETLINK.ROUTE);
      inside.request(pair, addMacvlan({ name: "p0", parent: 5, mode: MACVLAN_MODE.passthru }));
      const [failed] = inside.requestAll([addMacvlan({ name: "p1", parent: 5, mode: MACVLAN_MODE.bridge })]);
      expect(isErrno(failed, "EINVAL", "EBUSY")).toBe(true);
    });
  });

  /** Makes a link and returns what iproute2 says of it; undefined where this kernel has none of its kind, and says so. */
  function made(name: string, request: Request): string | undefined {
    const [failed] = socket.requestAll([request]);
    if (failed !== undefined && isErrno(failed, "EOPNOTSUPP")) return undefined;
    if (failed !== undefined) throw failed;
    const text = sh(`ip -d link show ${name}`);
    socket.request(deleteLink(name));
    return text;
  }

  test("an ipvlan, a VLAN, a dummy: made, or refused by a kernel that has none", () => {
    const ipvlan = made("i0", addIpvlan({ name: "i0", parent: 6, mode: IPVLAN_MODE.l3, flag: IPVLAN_FLAG.private }));
    expect(ipvlan ?? "ipvlan  mode l3 private").toContain("ipvlan  mode l3 private");
    const vlan = made("v0.10", addVlan({ name: "v0.10", parent: 5, id: 10 }));
    expect(vlan ?? "vlan protocol 802.1Q id 10").toContain("vlan protocol 802.1Q id 10");
    expect(made("d0", addDummy({ name: "d0" })) ?? "dummy").toContain("dummy");
  });

  test("a VXLAN in a bridge, and its forwarding entries", () => {
    const local = Uint8Array.of(192, 0, 2, 1);
    socket.request(addBridge({ name: "b0" }));
    socket.request(addVxlan({ name: "x0", mtu: 1450, master: indexOf("b0"), up: true }, { vni: 4097, local, port: 4789, isProxy: true }));
    const link = sh("ip -d link show x0");
    expect(link).toMatch(/vxlan id 4097 local 192.0.2.1 .*dstport 4789 nolearning proxy/);
    expect(link).not.toContain("l2miss");
    expect(vxlanSource(socket, "x0")).toEqual({ local, firstPort: 0 });
    socket.request(addVxlan({ name: "x1" }, { vni: 4098, local, port: 4789, sourcePorts: { first: 61504, end: 61568 } }));
    expect(sh("ip -d link show x1")).toContain("srcport 61504 61568");
    expect(vxlanSource(socket, "x1")).toEqual({ local, firstPort: 61504 });
    const index = indexOf("x0");
    const [first, second] = [Uint8Array.of(192, 0, 2, 2), Uint8Array.of(192, 0, 2, 3)];
    const own = () => listForwarding(socket, index).filter(({ vtep }) => vtep !== undefined);
    socket.request(addForwarding(index, { mac: MAC, vtep: first }));
    expect(isErrno(socket.requestAll([addForwarding(index, { mac: MAC, vtep: first })])[0], "EEXIST")).toBe(true);
    socket.request(replaceForwarding(index, { mac: MAC, vtep: second }));
    expect(own()).toEqual([{ mac: MAC, vtep: second }]);
    expect(sh("bridge fdb show dev x0")).toContain("02:42:0a:00:00:02 dst 192.0.2.3 self permanent");
    const any = new Uint8Array(6);
    socket.request(appendForwarding(index, { mac: any, vtep: first }), appendForwarding(index, { mac: any, vtep: second }));
    expect(own()).toHaveLength(3);
    socket.request(deleteForwarding(index, { mac: MAC, vtep: second }));
    expect(isErrno(socket.requestAll([deleteForwarding(index, { mac: MAC, vtep: second })])[0], "ENOENT")).toBe(true);
    expect(own()).toHaveLength(2);
    const address = Uint8Array.of(10, 0, 0, 2);
    socket.request(addIpNeighbour(index, address, MAC));
    expect(listNeighbours(socket, index)).toEqual([{ address, mac: MAC }]);
  });

  test("no request is nothing sent", () => {
    expect(socket.requestAll([])).toEqual([]);
  });

  test("a link answers for somebody else's address", () => {
    const address = Uint8Array.of(10, 9, 9, 9);
    socket.request(addProxyNeighbour(5, address));
    expect(sh("ip neigh show proxy")).toContain("10.9.9.9 dev v0");
    socket.request(deleteProxyNeighbour(5, address));
    expect(sh("ip neigh show proxy")).toBe("");
  });

  const root: QdiscPlace = { link: 5, parent: TC_ROOT, handle: tcHandle(1) };
  afterEach(() => void socket.requestAll([deleteQdisc(root)]));

  test("tbf: made, changed in place, listed, deleted", () => {
    socket.request(setTbf(root, { rateBitsPerSecond: 10_000_000, burstBytes: 16_000, limitBytes: 100_000 }));
    expect(sh("tc qdisc show dev v0")).toMatch(/tbf 1: root .*rate 10Mbit burst 16000b/);
    socket.request(setTbf(root, { rateBitsPerSecond: 80_000_000_000, burstBytes: 1_000_000, limitBytes: 1_000_000 }));
    expect(sh("tc qdisc show dev v0")).toContain("rate 80Gbit");
    expect(listQdiscs(socket, 5)).toEqual([{ ...root, kind: "tbf" }]);
    socket.request(deleteQdisc(root));
    expect(sh("tc qdisc show dev v0")).not.toContain("tbf");
  });

  test("htb with a class", () => {
    socket.request(
      setHtb(root, 1),
      setHtbClass({ link: 5, parent: tcHandle(1), handle: tcHandle(1, 1) }, { rateBitsPerSecond: 5e6, burstBytes: 4000 }),
    );
    expect(sh("tc qdisc show dev v0")).toMatch(/htb 1: root .*default 0x1/);
    expect(sh("tc class show dev v0")).toContain("class htb 1:1 root prio 0 rate 5Mbit ceil 5Mbit burst 4000b");
    socket.request(setHtbClass({ link: 5, parent: tcHandle(1), handle: tcHandle(1, 1) }, { rateBitsPerSecond: 6e6, burstBytes: 4000 }));
    expect(sh("tc class show dev v0")).toContain("rate 6Mbit");
    socket.request(deleteQdisc(root));
  });

  test("netem: made, or refused by a kernel that has none", () => {
    const settings = { delayNs: 80_000_000n, jitterNs: 5_000_000n, loss: 0.01, limit: 1000, rateBitsPerSecond: 1e6 };
    const [failed] = socket.requestAll([setNetem(root, settings)]);
    if (failed !== undefined) expect(isErrno(failed, "ENOENT")).toBe(true);
    else expect(sh("tc qdisc show dev v0")).toMatch(/netem 1: root .*delay 80ms\s+5ms loss 1% rate 1Mbit/);
  });
});
