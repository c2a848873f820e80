import { describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { type BridgeRules, forwardElements, type PortForward } from "./firewall-elements.ts";
import { renderTable } from "./firewall-table.ts";

const forward = (hostPort: number, containerPort: number, more: Partial<PortForward> = {}): PortForward => ({
  protocol: "tcp",
  hostIp: "0.0.0.0",
  hostPort,
  containerIp: "172.17.0.2",
  containerPort,
  ...more,
});
const NAT = { mode: "nat", masquerade: true } as const;
const BRIDGES: readonly BridgeRules[] = [
  { name: "dhow0", icc: true, isInternal: false, subnets: ["172.17.0.0/16"], families: { 4: NAT, 6: undefined } },
  { name: "br-closed", icc: false, isInternal: true, subnets: ["10.1.0.0/24"], families: { 4: NAT, 6: undefined } },
  {
    name: "br-routed",
    icc: true,
    isInternal: false,
    subnets: ["10.2.0.0/24", "fd00::/64"],
    families: { 4: { ...NAT, hostIp: "192.0.2.7" }, 6: { ...NAT, mode: "routed" } },
  },
  {
    name: "br-open",
    icc: true,
    isInternal: false,
    subnets: ["10.3.0.0/24", "fd01::/64"],
    families: { 4: { mode: "nat-unprotected", masquerade: false }, 6: NAT },
  },
  {
    name: "br-trusting",
    icc: true,
    isInternal: false,
    subnets: ["10.4.0.0/24", "fd02::/64"],
    isReachable: true,
    trusted: ["eth1", "vxlan.1"],
    families: { 4: NAT, 6: { ...NAT, mode: "routed" } },
  },
];

describe("forwardElements()", () => {
  test("joins runs that keep their number, of one protocol, address and container", () => {
    const run = [8000, 8001, 8002, 8003].map((p) => forward(p, p));
    const all = forwardElements(
      [...run, forward(9000, 80), forward(9001, 81), forward(9002, 82), forward(53, 53, { protocol: "udp", hostIp: "127.0.0.1" })],
      4,
    );
    expect(all.port_ranges).toHaveLength(1);
    expect(Buffer.from(all.port_ranges?.[0]?.key ?? []).toString("hex")).toBe("00000000060000001f400000");
    expect(Buffer.from(all.port_ranges?.[0]?.keyEnd ?? []).toString("hex")).toBe("ffffffff060000001f430000");
    expect(all.ports).toHaveLength(3);
    expect(all.host_ports).toHaveLength(1);
    expect(all.guarded).toEqual([]);
  });

  test("a port with allowed sources has them once, in its family", () => {
    const allow = ["10.0.0.0/8", "fd00::/8"];
    const all = forwardElements([forward(80, 80, { allow }), forward(81, 80, { allow })], 4);
    expect(all.guarded).toHaveLength(1);
    expect(all.allowed).toHaveLength(1);
    expect(Buffer.from(all.allowed?.[0]?.keyEnd ?? []).toString("hex")).toBe("0affffffac1100020600000000500000");
  });
});

describe("renderTable()", () => {
  const forwards = [
    forward(8080, 80, { allow: ["10.0.0.0/8", "192.0.2.1/32"] }),
    forward(53, 53, { protocol: "udp", hostIp: "127.0.0.1" }),
    ...[7000, 7001, 7002].map((p) => forward(p, p)),
    forward(8080, 80, { hostIp: "::", containerIp: "fd00::2", isDirect: true }),
    ...["172.17.0.2", "fd00::2"].map((containerIp) => forward(2905, 2906, { protocol: "sctp", containerIp })),
    forward(8443, 443, { containerIp: "10.4.0.2", isReachable: true }),
    ...["172.17.0.2", "fd00::2"].map((containerIp) => forward(0, 443, { containerIp, isCut: true })),
    ...["172.17.0.2", "fd00::2"].map((containerIp) => forward(0, 443, { protocol: "udp", containerIp, isCut: true })),
  ];

  test.each([
    [4, "table.nft"],
    [6, "table6.nft"],
  ] as const)("writes the table of IPv%d as the golden file has it, and nft takes it", (family, file) => {
    const text = renderTable({ name: "dhow", family, acceptMark: { mark: 0x10, mask: 0xff } }, BRIDGES, forwards);
    const golden = new URL(`testdata/${file}`, import.meta.url);
    if (process.argv.includes("--update")) writeFileSync(golden, text);
    expect(text).toBe(readFileSync(golden, "utf8"));
    const { stderr } = Bun.spawnSync(["unshare", "-n", "nft", "-c", "-f", "-"], { stdin: Buffer.from(text) });
    expect(stderr.toString()).toBe("");
  });
});
