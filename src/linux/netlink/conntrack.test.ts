import { expect, test } from "bun:test";
import { join } from "node:path";

const SCRIPT = `
  import { deleteListedFlows, flushFlowsFrom, flushFlowsOf, flushFlowsTo } from ${JSON.stringify(join(import.meta.dir, "conntrack.ts"))};
  import { NETLINK, NetlinkSocket } from ${JSON.stringify(join(import.meta.dir, "socket.ts"))};
  import { createSocket } from "node:dgram";
  const nft = Bun.spawnSync(["nft", "add table ip t; add chain ip t o { type filter hook output priority 0; }; add rule ip t o ct state new accept"]);
  if (nft.exitCode !== 0) throw new Error(nft.stderr.toString());
  const nft6 = Bun.spawnSync(["nft", "add table ip6 t; add chain ip6 t o { type filter hook output priority 0; }; add rule ip6 t o ct state new accept"]);
  if (nft6.exitCode !== 0) throw new Error(nft6.stderr.toString());
  Bun.spawnSync(["ip", "link", "set", "lo", "up"]);
  for (const last of [2, 3]) Bun.spawnSync(["ip", "addr", "add", "fd00::" + last + "/128", "dev", "lo", "nodad"]);
  const flows = () => {
    let count = 0;
    socket.query({ type: 0x101, flags: 0x300, call: "list", body: (w) => w.u8(2).u8(1).u16be(0) }, () => count++);
    return count;
  };
  const servers = [7001, 7002].map(() => createSocket("udp4"));
  await Promise.all(servers.map((server, index) => new Promise((resolve) => server.bind(7001 + index, "127.0.0.2", resolve))));
  const client = createSocket("udp4");
  await new Promise((resolve) => client.bind(0, "127.0.0.1", resolve));
  const send = (port) => new Promise((resolve) => client.send("x", port, "127.0.0.2", resolve));
  const socket = new NetlinkSocket(NETLINK.NETFILTER);
  const at = (last) => Uint8Array.from([127, 0, 0, last]);
  const seen = [];
  for (const forget of [
    () => deleteListedFlows(socket, { family: 4, protocol: 17, destinationPort: 7001 }),
    () => deleteListedFlows(socket, { side: "reply", address: at(2) }),
    () => deleteListedFlows(socket, { side: "origin", address: at(1) }),
    () => deleteListedFlows(socket, { side: "origin", address: at(9) }),
    () => deleteListedFlows(socket, { family: 4, protocol: 17, destinationPort: 7001, answeredBy: at(2) }),
    () => deleteListedFlows(socket, { family: 4, protocol: 17, destinationPort: 7001, answeredBy: at(3) }),
    () => flushFlowsTo(socket, { family: 4, protocol: 17, destinationPort: 7002, answeredBy: at(3) }),
    () => flushFlowsTo(socket, { family: 4, protocol: 17, destinationPort: 7002, answeredBy: at(2) }),
    () => flushFlowsTo(socket, { family: 4, protocol: 17, destinationPort: 7002 }),
    () => deleteListedFlows(socket, { protocol: 17, sourcePort: client.address().port, begunBy: at(1) }),
    () => deleteListedFlows(socket, { protocol: 17, sourcePort: 7001, begunBy: at(1) }),
    () => flushFlowsFrom(socket, { protocol: 17, sourcePort: client.address().port, begunBy: at(2) }),
    () => flushFlowsFrom(socket, { protocol: 17, sourcePort: client.address().port, begunBy: at(1) }),
    () => flushFlowsOf(socket, at(2), "reply"),
    () => flushFlowsOf(socket, at(1), "either"),
    () => flushFlowsOf(socket, at(9), "either"),
  ]) {
    await send(7001);
    await send(7002);
    const before = flows();
    forget();
    seen.push(before + ">" + flows());
  }
  for (const each of [client, ...servers]) each.close();
  // the same with IPv6
  const servers6 = [7001, 7002].map(() => createSocket("udp6"));
  await Promise.all(servers6.map((server, index) => new Promise((resolve) => server.bind(7001 + index, "::", resolve))));
  const six = createSocket("udp6");
  await new Promise((resolve) => six.bind(0, "::1", resolve));
  const sendSix = (last, port) => new Promise((resolve) => six.send("x", port, "fd00::" + last, resolve));
  const atSix = (last) => Uint8Array.from([0xfd, ...new Array(14).fill(0), last]);
  const flowsSix = () => {
    let count = 0;
    socket.query({ type: 0x101, flags: 0x300, call: "list", body: (w) => w.u8(10).u8(1).u16be(0) }, () => count++);
    return count;
  };
  for (const forget of [
    () => flushFlowsOf(socket, atSix(2), "reply"),
    () => flushFlowsOf(socket, atSix(9), "reply"),
    () => flushFlowsOf(socket, Uint8Array.from([...new Array(15).fill(0), 1]), "origin"),
    () => flushFlowsOf(socket, atSix(3), "either"),
    () => flushFlowsOf(socket, Uint8Array.from([...new Array(15).fill(0), 1]), "either"),
    () => flushFlowsTo(socket, { family: 6, protocol: 17, destinationPort: 7001, answeredBy: atSix(3) }),
    () => flushFlowsTo(socket, { family: 6, protocol: 17, destinationPort: 7001, answeredBy: atSix(2) }),
    () => flushFlowsTo(socket, { family: 6, protocol: 17, destinationPort: 7002 }),
    () => flushFlowsFrom(socket, { protocol: 17, sourcePort: six.address().port, begunBy: atSix(2) }),
    () => flushFlowsFrom(socket, { protocol: 17, sourcePort: six.address().port, begunBy: Uint8Array.from([...new Array(15).fill(0), 1]) }),
  ]) {
    for (const [last, port] of [[2, 7001], [2, 7002], [3, 7002]]) await sendSix(last, port);
    const before = flowsSix();
    forget();
    seen.push(before + ">" + flowsSix());
  }
  for (const each of [six, ...servers6]) each.close();
  console.log(seen.join(" "));
`;

test.skipIf(process.getuid?.() !== 0)("tracked flows are forgotten at once and one by one (skipped without root)", () => {
  // a network namespace of its own, with everything that the kernel tracks in it
  const { stdout, stderr } = Bun.spawnSync(["unshare", "-n", process.execPath, "-e", SCRIPT]);
  expect(stderr.toString()).toBe("");
  expect(stdout.toString()).toBe(
    "2>1 2>0 2>0 2>2 2>1 2>2 2>2 2>1 2>1 2>0 2>2 2>2 2>0 2>0 2>0 2>2 3>1 3>3 3>0 3>2 3>0 3>3 3>2 3>1 3>3 3>0\n",
  );
});
