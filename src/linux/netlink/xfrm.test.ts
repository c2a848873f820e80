import { expect, test } from "bun:test";
import { join } from "node:path";
import { MessageWriter } from "./message.ts";
import { addEspState, deleteEspState } from "./xfrm.ts";

const SCRIPT = `
  import { addEspPolicy, addEspState, deleteEspPolicy, deleteEspState, listEspPolicies, listEspStates, replaceEspPolicy } from ${JSON.stringify(join(import.meta.dir, "xfrm.ts"))};
  import { NETLINK, NetlinkSocket } from ${JSON.stringify(join(import.meta.dir, "socket.ts"))};
  const ip = (...args) => {
    const { stdout, stderr } = Bun.spawnSync(["ip", "xfrm", ...args]);
    return (stdout.toString() + stderr.toString()).replace(/\\s+/g, " ").trim();
  };
  const socket = new NetlinkSocket(NETLINK.XFRM);
  const v4 = (last) => Uint8Array.of(192, 0, 2, last);
  const v6 = (last) => Uint8Array.of(0xfd, ...new Array(14).fill(0), last);
  const ports = { sourcePort: 0xf040, sourcePortMask: 0xffc0, destinationPort: 4789 };
  const four = { family: 4, source: v4(1), destination: v4(2), ...ports };
  const six = { family: 6, source: v6(1), destination: v6(2), ...ports };
  const show = ({ flow, priority, transform }) =>
    [flow.family, String(flow.source), String(flow.destination), flow.sourcePort, flow.sourcePortMask, flow.destinationPort, priority, transform?.spi, transform?.reqid].map(String).join(" ");
  const seen = [];
  socket.request(addEspPolicy({ flow: four, priority: 5, transform: { spi: 0xfedcba98, reqid: 0x80001234 } }));
  seen.push(ip("policy"));
  seen.push(String(socket.requestAll([addEspPolicy({ flow: four, priority: 6 })])[0]?.code));
  socket.request(replaceEspPolicy({ flow: four, priority: 7, transform: { spi: 0x1000, reqid: 2 } }));
  seen.push(ip("policy"));
  socket.request(addEspPolicy({ flow: six, priority: 5, transform: { spi: 0x1000, reqid: 2 } }), addEspPolicy({ flow: { family: 4, ...ports }, priority: 1000 }));
  // of somebody else
  ip("policy", "add", "dir", "in", "src", "192.0.2.1", "dst", "192.0.2.2", "proto", "udp", "dport", "4789", "action", "block");
  ip("policy", "add", "dir", "out", "src", "192.0.2.0/24", "dst", "192.0.2.2", "proto", "tcp", "action", "block");
  const listed = listEspPolicies(socket);
  seen.push(...listed.map(show).sort());
  socket.request(...listed.map(({ index }) => deleteEspPolicy(index)));
  seen.push(String(listEspPolicies(socket).length), String(ip("policy").split("dir").length - 1));
  const [failed] = socket.requestAll([addEspState({ source: v4(1), destination: v4(2), spi: 0x1000, key: new Uint8Array(20), reqid: 2, replayWindow: 1024 })]);
  if (failed === undefined) {
    seen.push("esp", ip("state"), JSON.stringify(listEspStates(socket).map(({ spi, reqid, source, destination }) => [spi, reqid, String(source), String(destination)])));
    socket.request(deleteEspState({ destination: v4(2), spi: 0x1000 }));
  } else {
    seen.push("no esp", failed.code);
  }
  seen.push(String(listEspStates(socket).length), String(socket.requestAll([deleteEspState({ destination: v4(2), spi: 0x1000 })])[0]?.code));
  console.log(seen.join("\\n"));
`;

test.skipIf(process.getuid?.() !== 0)(
  "policies and states are what ip-xfrm(8) shows, and are listed and removed (skipped without root)",
  () => {
    const { stdout, stderr } = Bun.spawnSync(["unshare", "-n", process.execPath, "-e", SCRIPT]);
    expect(stderr.toString()).toBe("");
    const lines = stdout.toString().trim().split("\n");
    const policy = (priority: number, spi: string, reqid: number): string =>
      `src 192.0.2.1/32 dst 192.0.2.2/32 proto udp sport 61504 dport 4789 dir out priority ${priority} ptype main tmpl src 192.0.2.1 dst 192.0.2.2 proto esp spi ${spi} reqid ${reqid} mode transport`;
    expect(lines.slice(0, 8)).toEqual([
      policy(5, "0xfedcba98", 0x80001234),
      "EEXIST",
      policy(7, "0x00001000", 2),
      "4 192,0,2,1 192,0,2,2 61504 65472 4789 7 4096 2",
      "4 undefined undefined 61504 65472 4789 1000 undefined undefined",
      "6 253,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1 253,0,0,0,0,0,0,0,0,0,0,0,0,0,0,2 61504 65472 4789 5 4096 2",
      "0",
      "2",
    ]);
    // a kernel without ESP says so
    if (lines[8] === "esp") {
      expect(lines[9]).toContain("proto esp spi 0x00001000 reqid 2 mode transport replay-window 0 flag esn");
      expect(lines[9]).toContain("aead rfc4106(gcm(aes)) 0x0000000000000000000000000000000000000000 128");
      expect(lines[9]).toContain("replay_window 1024, bitmap-length 32");
      expect(lines[10]).toBe('[[4096,2,"192,0,2,1","192,0,2,2"]]');
    } else expect(lines[9]).toMatch(/^E[A-Z]+$/);
    expect(lines.slice(-2)).toEqual(["0", "ESRCH"]);
  },
);

test("a state's bytes are those of struct xfrm_usersa_info and its attributes", () => {
  const source = Uint8Array.of(192, 0, 2, 1);
  const destination = Uint8Array.of(192, 0, 2, 2);
  const key = Uint8Array.from({ length: 20 }, (_, at) => at + 1);
  const w = new MessageWriter();
  addEspState({ source, destination, spi: 0xabcdef01, key, reqid: 7, replayWindow: 64 }).body(w);
  const hex = (from: number, to: number): string => Buffer.from(w.bytes.subarray(from, to)).toString("hex");
  expect(hex(56, 96)).toBe(`c0000202${"0".repeat(24)}abcdef0132000000c0000201${"0".repeat(24)}`);
  expect(hex(96, 128)).toBe("f".repeat(64));
  expect(hex(208, 224)).toBe("07000000020000008000000000000000");
  expect(hex(224, 228)).toBe("60001200");
  expect(Buffer.from(w.bytes.subarray(228, 245)).toString()).toBe("rfc4106(gcm(aes))");
  expect(hex(292, 320)).toBe(`a000000080000000${Buffer.from(key).toString("hex")}`);
  expect(hex(320, 324)).toBe("24001700");
  expect(hex(324, 356)).toBe(`02000000${"0".repeat(32)}40000000${"0".repeat(16)}`);
  const other = new MessageWriter();
  deleteEspState({ destination, spi: 0xabcdef01 }).body(other);
  expect(Buffer.from(other.bytes).toString("hex")).toBe(`c0000202${"0".repeat(24)}abcdef0102003200`);
});
