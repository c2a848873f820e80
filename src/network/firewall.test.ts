import { describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { elementsOf, type PortForward, renderTable } from "./firewall.ts";
import { parseCidr, parseIpv4 } from "./ipv4.ts";

const forward = (hostPort: number, containerPort: number, more: Partial<PortForward> = {}): PortForward => ({
  protocol: "tcp",
  hostIp: "0.0.0.0",
  hostPort,
  containerIp: parseIpv4("172.17.0.2"),
  containerPort,
  ...more,
});

describe("elementsOf()", () => {
  test("joins runs that keep their number, of one protocol, address and container", () => {
    const run = [8000, 8001, 8002, 8003].map((p) => forward(p, p));
    const all = elementsOf([
      ...run,
      forward(9000, 80),
      forward(9001, 81),
      forward(9002, 82),
      forward(53, 53, { protocol: "udp", hostIp: "127.0.0.1" }),
    ]);
    expect(all.port_ranges).toHaveLength(1);
    expect(Buffer.from(all.port_ranges[0]?.key ?? []).toString("hex")).toBe("00000000060000001f400000");
    expect(Buffer.from(all.port_ranges[0]?.keyEnd ?? []).toString("hex")).toBe("ffffffff060000001f430000");
    expect(all.ports).toHaveLength(3);
    expect(all.host_ports).toHaveLength(1);
  });
});

describe("renderTable()", () => {
  test("writes the table as the golden file has it", () => {
    const options = { tableName: "dhow", bridgeName: "dhow0", subnet: parseCidr("172.17.0.1/16"), icc: true, masquerade: true };
    const text = renderTable(options, [
      forward(8080, 80),
      forward(53, 53, { protocol: "udp", hostIp: "127.0.0.1" }),
      ...[7000, 7001, 7002].map((p) => forward(p, p)),
    ]);
    const golden = new URL("testdata/table.nft", import.meta.url);
    if (process.argv.includes("--update")) writeFileSync(golden, text);
    expect(text).toBe(readFileSync(golden, "utf8"));
  });
});
