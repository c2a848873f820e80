/** Who reaches published ports on the containers' own addresses, without translation. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { bridge, HOST, Lab, OTHER, OUTSIDE, OUTSIDE6, ports, type Question, take } from "./test-lab.ts";

const isRoot = process.getuid?.() === 0;
let lab: Lab;
beforeAll(() => {
  if (isRoot) lab = new Lab();
});
afterEach(() => lab?.reset());
afterAll(() => lab?.close());

/** What is answered, by what was asked: `a 10.1.2.3`, or `timeout` and errnos. */
async function seen(netns: string | undefined, questions: Readonly<Record<string, Question>>): Promise<Record<string, string>> {
  const names = Object.keys(questions);
  const answers = await lab.askAll(Object.values(questions), netns);
  return Object.fromEntries(names.map((name, index) => [name, answers[index] ?? ""]));
}

const REFUSED = expect.stringMatching(/^(timeout|E[A-Z]+)$/);
const addressOf = (s: Awaited<ReturnType<typeof take>>, family: 4 | 6 = 4): string =>
  s.endpoints[0]?.[family === 4 ? "ipv4" : "ipv6"]?.address ?? "";

describe.skipIf(!isRoot)("direct routing (needs root)", () => {
  test("published ports answer on containers' addresses, to who comes by a trusted interface, or to all", async () => {
    const n = await lab.networking();
    const trusted = (text: string): Record<string, string> => ({ "com.docker.network.bridge.trusted_host_interfaces": text });
    const near = await bridge(n, "near", { subnets: ["10.105.0.0/24", "fd05::/64"], options: trusted("nosuch0:wan0") });
    const far = await bridge(n, "far", { subnets: ["10.106.0.0/24"], options: trusted("nosuch0") });
    await expect(bridge(n, "bad", { subnets: ["10.107.0.0/24"], options: trusted("a b") })).rejects.toThrow("invalid interface name");
    const binding = { "80/tcp": "127.0.0.1:8105" };
    const t = await take(n, "t", ports(binding), [near]);
    const listed = await take(n, "u", ports({ "80/tcp": "8106" }, { "80/tcp": [`${OTHER}/32`] }), [near]);
    const f = await take(n, "f", ports({ "80/tcp": "8107" }), [far]);
    const all = Object.entries({ t, u: listed, f });
    await Promise.all(all.flatMap(([name, s]) => [lab.serve(s.netnsPath, name, 80), lab.serve(s.netnsPath, `${name}x`, 81)]));
    expect(
      await seen(lab.outside, {
        t: { host: addressOf(t), port: 80 },
        tOther: { host: addressOf(t), port: 81 },
        uListed: { host: addressOf(listed), port: 80, from: OTHER },
        uUnlisted: { host: addressOf(listed), port: 80 },
        u6Unlisted: { host: addressOf(listed, 6), port: 80 },
        f: { host: addressOf(f), port: 80 },
        fHost: { host: HOST, port: 8107 },
      }),
    ).toEqual({
      t: `t ${OUTSIDE}`,
      tOther: REFUSED,
      uListed: `u ${OTHER}`,
      uUnlisted: REFUSED,
      u6Unlisted: REFUSED,
      f: REFUSED,
      fHost: `f ${OUTSIDE}`,
    });
    // other networks of ours have the host's ports
    expect(await seen(f.netnsPath, { t: { host: addressOf(t), port: 80 } })).toEqual({ t: REFUSED });
    const { ports: audited } = await n.auditPorts();
    const outside = audited
      .filter(({ containerId }) => containerId !== "u")
      .map(({ containerId, hostPort, reach }) => [
        containerId,
        hostPort,
        ...reach.filter(({ from }) => from === "outside").map((r) => r.verdict),
      ]);
    expect(outside).toEqual([
      ["t", 8105, "drop"],
      ["t", 0, "accept"],
      ["f", 8107, "accept"],
      ["f", 0, "drop"],
      ["f", 8107, "accept"],
    ]);
    n.changePorts("t", { remove: n.publishedPorts("t") ?? [], add: [], exposed: [] }, () => {});
    expect(await seen(lab.outside, { t: { host: addressOf(t), port: 80 } })).toEqual({ t: REFUSED });
  });

  test("those of all bridges, when the daemon is told so; and packets that others have marked", async () => {
    const n = await lab.networking({ allowsDirectRouting: true, acceptMark: { mark: 0x2, mask: 0x3 } });
    const plain = await bridge(n, "plain", { subnets: ["10.105.0.0/24", "fd05::/64"] });
    const closed = await bridge(n, "closed", { subnets: ["10.106.0.0/24"], isInternal: true });
    const p = await take(n, "p", ports({ "80/tcp": "8105" }), [plain]);
    const c = await take(n, "c", ports({ "80/tcp": "8106" }), [closed]);
    const b = await take(n, "b", ports({ "80/tcp": "8107" }));
    const all = Object.entries({ p, c, b });
    await Promise.all(all.flatMap(([name, s]) => [lab.serve(s.netnsPath, name, 80), lab.serve(s.netnsPath, `${name}x`, 81)]));
    const questions: Record<string, Question> = {
      p: { host: addressOf(p), port: 80 },
      p6: { host: addressOf(p, 6), port: 80, from: OUTSIDE6 },
      pOther: { host: addressOf(p), port: 81 },
      b: { host: addressOf(b), port: 80 },
      c: { host: addressOf(c), port: 80 },
    };
    const open = { p: `p ${OUTSIDE}`, p6: `p ${OUTSIDE6}`, b: `b ${OUTSIDE}`, c: REFUSED };
    expect(await seen(lab.outside, questions)).toEqual({ ...open, pOther: REFUSED });
    const marking = (mark: number): void => {
      lab.sh(
        undefined,
        `nft 'table inet marking { }; delete table inet marking; table inet marking { chain c { type filter hook prerouting priority -150; meta mark set ${mark}; }; }'`,
      );
    };
    try {
      marking(1);
      expect(await seen(lab.outside, questions)).toEqual({ ...open, pOther: REFUSED });
      marking(6);
      expect(await seen(lab.outside, questions)).toEqual({ ...open, pOther: `px ${OUTSIDE}` });
    } finally {
      lab.sh(undefined, "nft delete table inet marking");
    }
  });
});
