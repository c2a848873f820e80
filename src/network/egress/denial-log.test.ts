import { expect, test } from "bun:test";
import { join } from "node:path";

const SCRIPT = `
  import { createLogger } from ${JSON.stringify(join(import.meta.dir, "../../lib/mod.ts"))};
  import { PacketLog } from ${JSON.stringify(join(import.meta.dir, "../../linux/mod.ts"))};
  import { DenialLog } from ${JSON.stringify(join(import.meta.dir, "denial-log.ts"))};
  const lines = [];
  const log = createLogger({ level: "warn", format: "json", write: (line) => lines.push(JSON.parse(line)) });
  const deps = { log, onPacket: () => {}, onFrame: () => {} };
  {
    using others = new PacketLog(1);
    const denials = new DenialLog(deps);
    for (let i = 0; i < 3; i++) denials.open(1, () => true);
  }
  const unable = new DenialLog(deps);
  for (let i = 0; i < 3; i++) unable.open(1, () => false);
  const able = new DenialLog(deps);
  for (let i = 0; i < 3; i++) able.open(1, () => true);
  able.close();
  able.open(1, () => true);
  able.close();
  console.log(JSON.stringify(lines.map(({ msg, group }) => [msg, group ?? 0])));
  process.exit(0);
`;

test.skipIf(process.getuid?.() !== 0)("what keeps denied packets from being logged is said once (needs root)", () => {
  const { stdout, stderr } = Bun.spawnSync(["unshare", "-n", process.execPath, "-e", SCRIPT]);
  expect(stderr.toString()).toBe("");
  expect(JSON.parse(stdout.toString())).toEqual([
    ["what egress policies deny is counted, and not logged", 1],
    ["this kernel has no nfnetlink_log: what egress policies deny is counted, and not logged", 0],
  ]);
});
