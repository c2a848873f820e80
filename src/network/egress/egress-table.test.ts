import { describe, expect, test } from "bun:test";
import { egressVersion, logGroupOf, renderEgress } from "./egress-table.ts";

const isRoot = process.getuid?.() === 0;
/** What nft has after it has loaded a script in a namespace of its own. */
function loaded(script: string): string {
  const { stdout, stderr } = Bun.spawnSync(["unshare", "-n", "sh", "-c", "nft -f - && nft list ruleset"], { stdin: Buffer.from(script) });
  expect(stderr.toString()).toBe("");
  return stdout.toString();
}

describe.skipIf(!isRoot)("renderEgress() (needs root)", () => {
  test("has a kernel that can't log take the same tables without the rules that do", () => {
    const [logging, silent] = [loaded(renderEgress("t", 4711)), loaded(renderEgress("t", undefined))];
    expect(logging).toContain("group 4711");
    expect(silent).not.toMatch(/\blog\b/);
    expect(egressVersion("t", 4711)).not.toBe(egressVersion("t", undefined));
    expect(logging).toContain(`chain ${egressVersion("t", 4711)}`);
    for (const text of [logging, silent]) expect(text.match(/hook forward/g)).toHaveLength(2);
  });

  test("replaces what is there", () => {
    expect(loaded(renderEgress("t", 1) + renderEgress("t", 2))).not.toContain("group 1 ");
  });
});

test("logGroupOf() is the same for the same name, in the range of groups that nobody has by habit", () => {
  const groups = Array.from({ length: 500 }, (_, index) => logGroupOf(`br${index}-egress`));
  expect(logGroupOf("br7-egress")).toBe(groups[7] ?? 0);
  expect(new Set(groups).size).toBeGreaterThan(490);
  for (const group of groups) expect(group >= 1024 && group < 65_536).toBe(true);
});
