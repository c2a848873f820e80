import { expect, test } from "bun:test";
import { join } from "node:path";

const SCRIPT = `
  import { deleteListedFlows, flushFlowsOf, flushFlowsTo } from ${JSON.stringify(join(import.meta.dir, "conntrack.ts"))};
  import { NETLINK, NetlinkSocket } from ${JSON.stringify(join(import.meta.dir, "socket.ts"))};
  import { createSocket } from "node:dgram";
  const nft = Bun.spawnSync(["nft", "add table ip t; add chain ip t o { type filter hook output priority 0; }; add rule ip t o ct state new accept"]);
  if (nft.exitCode !== 0) throw new Error(nft.stderr.toString());
  Bun.spawnSync(["ip", "link", "set", "lo", "up"]);
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
    () => flushFlowsOf(socket, at(2), "reply"),
  ]) {
    await send(7001);
    await send(7002);
    const before = flows();
    forget();
    seen.push(before + ">" + flows());
  }
  for (const each of [client, ...servers]) each.close();
  console.log(seen.join(" "));
`;

test.skipIf(process.getuid?.() !== 0)("tracked flows are forgotten at once and one by one (skipped without root)", () => {
  // a network namespace of its own, with everything that the kernel tracks in it
  const { stdout, stderr } = Bun.spawnSync(["unshare", "-n", process.execPath, "-e", SCRIPT]);
  expect(stderr.toString()).toBe("");
  expect(stdout.toString()).toBe("2>1 2>0 2>0 2>2 2>1 2>2 2>2 2>1 2>1 2>0\n");
});
