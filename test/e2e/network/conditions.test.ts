import { afterAll, afterEach, expect, test } from "bun:test";
import { join } from "node:path";
import { Daemon } from "../daemon.ts";

const daemon = await Daemon.start();
afterAll(() => daemon[Symbol.asyncDispose]());
afterEach(() => daemon.removeContainers());

/** Runs dhow's own command line, which says conditions by flags. */
function dhow(...args: readonly string[]): { readonly stdout: string; readonly stderr: string; readonly exitCode: number } {
  const main = join(import.meta.dir, "../../../src/main.ts");
  const { stdout, stderr, exitCode } = Bun.spawnSync([
    process.execPath,
    "--no-env-file",
    "--config=/dev/null",
    main,
    "-H",
    daemon.host,
    ...args,
  ]);
  return { stdout: stdout.toString().trim(), stderr: stderr.toString().trim(), exitCode };
}

/** The queueing disciplines of a container's eth0 and of its other end. */
async function qdiscs(name: string): Promise<string> {
  const pid = await daemon.ok("inspect", "-f", "{{.State.Pid}}", name);
  const inside = Bun.spawnSync([
    "nsenter",
    `--net=/proc/${pid}/ns/net`,
    "sh",
    "-c",
    "tc qdisc show dev eth0; ip -o link show eth0",
  ]).stdout.toString();
  const peer = / eth0@if(\d+)/.exec(inside)?.[1];
  const links = Bun.spawnSync(["ip", "-o", "link", "show", "master", daemon.bridge]).stdout.toString();
  const other = new RegExp(`^${peer}: (\\w+)@`, "m").exec(links)?.[1] ?? "";
  return `${inside.split("\n")[0]}\n${Bun.spawnSync(["tc", "qdisc", "show", "dev", other]).stdout}`;
}

const labels = (name: string): Promise<string> => daemon.ok("inspect", "-f", '{{index .Config.Labels "dhow.net.rate"}}', name);

test("a label of the docker command line slows a container; dhow update changes that while it runs", async () => {
  await daemon.ok("run", "-d", "--name", "slow", "--label", "dhow.net.rate=10mbit", "busybox", "sleep", "600");
  expect((await qdiscs("slow")).match(/tbf 2: .*rate 10Mbit/g)).toHaveLength(2);
  expect(dhow("update", "--net-rate", "20mbit", "slow")).toMatchObject({ stdout: "slow", exitCode: 0 });
  expect((await qdiscs("slow")).match(/rate 20Mbit/g)).toHaveLength(2);
  expect(await labels("slow")).toBe("20mbit");

  await daemon.kill9();
  await daemon.launch();
  expect((await qdiscs("slow")).match(/rate 20Mbit/g)).toHaveLength(2);
  await daemon.ok("restart", "-t", "0", "slow");
  expect((await qdiscs("slow")).match(/rate 20Mbit/g)).toHaveLength(2);

  expect(dhow("update", "--net-rate", "", "slow").exitCode).toBe(0);
  expect(await qdiscs("slow")).not.toContain("tbf");
  expect(await labels("slow")).toBe("");
});

test("dhow run --net-rate; one that doesn't run is changed for its next start", async () => {
  expect(dhow("run", "-d", "--name", "slow", "--net-rate", "5mbit", "busybox", "sleep", "600").exitCode).toBe(0);
  expect(await qdiscs("slow")).toContain("rate 5Mbit");
  await daemon.ok("stop", "-t", "0", "slow");
  expect(dhow("update", "--net-rate", "6mbit", "slow").exitCode).toBe(0);
  await daemon.ok("start", "slow");
  expect(await qdiscs("slow")).toContain("rate 6Mbit");
});

test("what can't be is refused, and nothing is changed", async () => {
  await daemon.ok("run", "-d", "--name", "plain", "busybox", "sleep", "600");
  expect(dhow("update", "--net-rate", "fast", "plain").stderr).toContain('invalid rate "fast"');
  expect(dhow("update", "--net-jitter", "5ms", "plain").stderr).toContain("label dhow.net.jitter needs dhow.net.delay");
  expect(await qdiscs("plain")).not.toContain("tbf");
  const delayed = dhow("update", "--net-delay", "40ms", "plain");
  // a kernel without netem says so
  if (delayed.exitCode === 0) expect(await qdiscs("plain")).toMatch(/netem 1: root .*delay 40ms/);
  else expect(delayed.stderr).toContain("this host's kernel has no sch_netem");
  await daemon.ok("run", "-d", "--name", "open", "--net", "host", "busybox", "sleep", "600");
  expect(dhow("update", "--net-rate", "5mbit", "open").stderr).toContain("conflicting options: network conditions and the host's network");
});
