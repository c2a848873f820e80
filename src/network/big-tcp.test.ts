import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { release } from "node:os";
import { bridge, Lab, ports, take } from "./test-lab.ts";

const isRoot = process.getuid?.() === 0;
/** BIG TCP over IPv4 came with Linux 6.3. */
const [major = 0, minor = 0] = release().split(".").map(Number);
const hasBigTcp = major > 6 || (major === 6 && minor >= 3);
const MEGABYTES = 64;
const LARGEST_USUAL = 65_536;

let lab: Lab;
beforeAll(() => {
  if (isRoot) lab = new Lab();
});
afterEach(() => lab?.reset());
afterAll(() => lab?.close());

/** Sends many bytes from one namespace to an address of another one, and returns how many came. */
async function send(from: string, to: string, address: string): Promise<number> {
  const sink = `let got = 0; Bun.listen({ hostname: "::", port: 9000, socket: {
      data(s, d) { got += d.length; }, end() { console.log(got); process.exit(0); } } }); console.log("ready");`;
  const source = `const block = Buffer.alloc(1 << 20); const socket = require("node:net").connect(9000, "${address}");
    for (let i = 0; i < ${MEGABYTES}; i++) if (!socket.write(block)) await new Promise((done) => socket.once("drain", done));
    socket.end();`;
  const receiver = Bun.spawn(["nsenter", `--net=${to}`, process.execPath, "-e", sink], { stdout: "pipe", stderr: "inherit" });
  const reader = receiver.stdout.getReader();
  await reader.read();
  await Bun.spawn(["nsenter", `--net=${from}`, process.execPath, "-e", source], { stderr: "inherit" }).exited;
  const { value } = await reader.read();
  return Number(Buffer.from(value ?? []).toString());
}

test.skipIf(!isRoot || !hasBigTcp)(
  "dhow.big-tcp: larger packets than usual between its containers (skipped without root, before Linux 6.3)",
  async () => {
    const n = await lab.networking();
    const plain = await bridge(n, "plain", { subnets: ["10.94.0.0/24", "fd94::/64"] });
    const big = await bridge(n, "big", { subnets: ["10.95.0.0/24", "fd95::/64"], isInternal: true, options: { "dhow.big-tcp": "true" } });
    for (const [network, isLarger] of [
      [plain, false],
      [big, true],
    ] as const) {
      const [from, to] = [await take(n, `${network}1`, ports({}), [network]), await take(n, `${network}2`, ports({}), [network])];
      for (const address of [to.endpoints[0]?.ipv4?.address ?? "", to.endpoints[0]?.ipv6?.address ?? ""]) {
        let largest = 0;
        // how much is sent at once is the kernel's choice
        for (let i = 0; i < 10 && (i === 0 || (isLarger && largest < LARGEST_USUAL)); i++) {
          const before = n.stats(`${network}2`)["eth0"];
          expect(await send(from.netnsPath, to.netnsPath, address)).toBe(MEGABYTES << 20);
          const after = n.stats(`${network}2`)["eth0"];
          const packets = (after?.rx_packets ?? 0) - (before?.rx_packets ?? 0);
          largest = Math.max(largest, ((after?.rx_bytes ?? 0) - (before?.rx_bytes ?? 0)) / packets);
        }
        expect(largest > LARGEST_USUAL).toBe(isLarger);
      }
    }
  },
);

test.skipIf(!isRoot)("dhow.big-tcp is a boolean, of internal networks, without egress policies (skipped without root)", async () => {
  const n = await lab.networking();
  await expect(bridge(n, "open", { options: { "dhow.big-tcp": "1" } })).rejects.toThrow(
    "dhow.big-tcp is for internal networks: published ports and what leaves the host would be slower; add --internal",
  );
  const networkId = await bridge(n, "inner", { isInternal: true, options: { "dhow.big-tcp": "1" } });
  const policed = {
    containerName: "c1",
    ports: ports({}),
    endpoints: [{ networkId, names: [] }],
    egress: { mode: "enforce", domains: [], networks: [] },
  } as const;
  await expect(n.acquire("c1", policed)).rejects.toThrow("is not all known to connection tracking (dhow.big-tcp)");
  await expect(bridge(n, "odd", { options: { "dhow.big-tcp": "much" } })).rejects.toThrow(
    'failed to parse dhow.big-tcp value: much (strconv.ParseBool: parsing "much": invalid syntax)',
  );
});
