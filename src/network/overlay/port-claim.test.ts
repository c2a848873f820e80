import { expect, test } from "bun:test";
import { join } from "node:path";
import { portBlocks } from "./esp.ts";

const SCRIPT = `
  import { claimPorts, policiesOf } from ${JSON.stringify(join(import.meta.dir, "port-claim.ts"))};
  import { espReqid, portBlocks } from ${JSON.stringify(join(import.meta.dir, "esp.ts"))};
  import { deleteEspPolicy, NETLINK, NetlinkSocket } from ${JSON.stringify(join(import.meta.dir, "../../linux/mod.ts"))};
  const xfrm = new NetlinkSocket(NETLINK.XFRM);
  const claim = (host, vtep = "192.0.2.1") => claimPorts(xfrm, host, vtep).firstPort;
  const seen = [claim("a")];
  // who wants the same block as a
  let rival = 0;
  while (portBlocks("rival" + rival)[0] !== seen[0]) rival++;
  const other = "rival" + rival;
  seen.push(claim(other, "192.0.2.2"));
  // a next daemon of each, in another order; one with an address of the other family
  seen.push(claim(other, "fd00::2"), claim("a"));
  seen.push(policiesOf(xfrm, espReqid("a")).length, policiesOf(xfrm, espReqid(other)).length);
  // the first one is gone for good: the second one stays where it is
  for (const { index } of policiesOf(xfrm, espReqid("a"))) xfrm.request(deleteEspPolicy(index));
  seen.push(claim(other), claim("a"));
  let n = 0;
  let text = "";
  try {
    for (; n < 100; n++) claim("more" + n);
  } catch (error) {
    text = error.message;
  }
  console.log(JSON.stringify([...seen, n, text]));
`;

test.skipIf(process.getuid?.() !== 0)("daemons of one host never have the same ports, and keep them (skipped without root)", () => {
  const { stdout, stderr } = Bun.spawnSync(["unshare", "-n", process.execPath, "-e", SCRIPT]);
  expect(stderr.toString()).toBe("");
  const [first = 0, second = 0] = portBlocks("a");
  const text = "take UDP ports for encrypted overlay networks: other daemons of this host have all of them";
  expect(JSON.parse(stdout.toString())).toEqual([first, second, second, first, 1, 2, second, first, 61, text]);
});
