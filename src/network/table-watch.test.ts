import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { createLogger } from "../lib/mod.ts";
import { bridge, HOST, HOST6, Lab, OTHER6, OUTSIDE, OUTSIDE6, ports, take } from "./test-lab.ts";

const isRoot = process.getuid?.() === 0;
let lab: Lab;
beforeAll(() => {
  if (isRoot) lab = new Lab();
});
afterEach(() => lab?.reset());
afterAll(() => lab?.close());

async function until(what: string, holds: () => boolean): Promise<void> {
  for (const end = Date.now() + 10_000; !holds(); await Bun.sleep(20)) {
    if (Date.now() > end) throw new Error(`waited in vain: ${what}`);
  }
}

describe.skipIf(!isRoot)("TableWatch (needs root)", () => {
  test.each([
    // as a configuration of the host's does, which is loaded again
    "nft -f - <<X\nflush ruleset\ntable inet own { chain c { type filter hook input priority 0; }; }\nX",
    "nft delete table ip6 dhowtest0",
    "nft flush table ip dhowtest0",
    "nft flush chain ip6 dhowtest0 entering",
  ])("ports, networks and what keeps them apart come back after %j", async (command) => {
    const lines: string[] = [];
    const log = createLogger({ level: "warn", format: "json", write: (line) => lines.push(line) });
    const n = await lab.networking({ log });
    const six = await bridge(n, "six", { subnets: ["10.94.0.0/24", "fd94::/64"] });
    const a = await take(n, "a", ports({ "80/tcp": "8080" }, { "80/tcp": [`${OUTSIDE}/32`, `${OUTSIDE6}/128`] }), [six]);
    const b = await take(n, "b");
    await lab.serve(a.netnsPath, "a", 80);
    // elements of a set come in any order
    const rules = (): string => {
      const text = lab.sh(lab.host, "for family in ip ip6; do nft list table $family dhowtest0 2>&1; done; true");
      return text
        .split(/[\s,]+/)
        .toSorted()
        .join(" ");
    };
    const before = rules();
    lab.sh(lab.host, command);
    expect(rules()).not.toBe(before);
    await until("the tables are back", () => rules() === before);
    expect(await lab.ask({ netns: lab.outside, host: HOST, port: 8080 })).toBe(`a ${OUTSIDE}`);
    expect(await lab.ask({ netns: lab.outside, from: OUTSIDE6, host: HOST6, port: 8080 })).toBe(`a ${OUTSIDE6}`);
    expect(await lab.ask({ netns: lab.outside, from: OTHER6, host: HOST6, port: 8080 })).toBe("timeout");
    expect(await lab.ask({ netns: b.netnsPath, host: a.endpoints[0]?.ipv4?.address ?? "", port: 80 })).toBe("timeout");
    const warnings = lines.map((line) => JSON.parse(line)).filter(({ msg }) => msg.startsWith("somebody took nft tables away"));
    expect(warnings).toEqual([expect.objectContaining({ level: "warn", tables: "networks and published ports" })]);
  });
});
