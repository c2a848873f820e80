import { expect, test } from "bun:test";
import { join } from "node:path";

const SCRIPT = `
  import { NftRemovals } from ${JSON.stringify(join(import.meta.dir, "nft-removals.ts"))};
  const nft = (text) => {
    const { exitCode, stderr } = Bun.spawnSync(["nft", "-f", "-"], { stdin: Buffer.from(text) });
    if (exitCode !== 0) throw new Error(stderr.toString());
  };
  const MANY = Array.from({ length: 3000 }, (_, n) => \`add rule ip many c tcp dport \${n + 1} drop\`).join("\\n");
  using removals = new NftRemovals();
  const found = [];
  const tell = () => { const read = removals.read(); found.push(read === "any" ? read : [...read].toSorted()); };
  tell();
  nft("table ip a { set s { type ipv4_addr; elements = { 10.0.0.1 } }\\nchain c { type filter hook input priority 0; ip saddr @s drop; }\\n}\\ntable ip6 b { chain c { }\\n}");
  nft("delete element ip a s { 10.0.0.1 }");
  tell();
  nft("flush chain ip a c");
  tell();
  nft("delete set ip a s");
  tell();
  nft("delete chain ip6 b c");
  tell();
  nft("flush ruleset\\ntable inet own { }");
  tell();
  nft("table ip many { chain c { }\\n}\\n" + MANY);
  nft("delete table ip many");
  tell();
  for (let i = 0; i < 1000 && removals.read() !== "any" && removals.read().size > 0; i++);
  nft("delete table inet own");
  tell();
  console.log(JSON.stringify(found));
  process.exit(0);
`;

test.skipIf(process.getuid?.() !== 0)("what is removed from tables is told by their names; what is added is not (needs root)", () => {
  const { stdout, stderr } = Bun.spawnSync(["unshare", "-n", process.execPath, "-e", SCRIPT]);
  expect(stderr.toString()).toBe("");
  const found = JSON.parse(stdout.toString());
  // of so many removals some are lost, or not: as large as the socket's buffer is
  expect([["many"], "any", []]).toContainEqual(found.splice(6, 1)[0]);
  expect(found).toEqual([[], [], ["a"], ["a"], ["b"], ["a", "b"], ["own"]]);
});
