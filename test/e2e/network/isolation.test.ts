import { afterAll, afterEach, expect, test } from "bun:test";
import { Daemon } from "../daemon.ts";

const daemon = await Daemon.start();
afterAll(() => daemon[Symbol.asyncDispose]());
afterEach(async () => {
  await daemon.removeContainers();
  await daemon.docker("network", "prune", "-f");
});

const serve = (name: string, ...options: readonly string[]): Promise<string> =>
  daemon.ok("run", "-d", "--name", name, ...options, "busybox", "sh", "-c", `nc -ll -p 80 -e echo ${name} & sleep 1000`);
const address = async (name: string, network: string): Promise<string> =>
  daemon.ok("inspect", name, "-f", `{{with index .NetworkSettings.Networks "${network}"}}{{.IPAddress}}{{end}}`);
/** What a container hears of a TCP port; empty when it hears nothing. */
const ask = async (from: string, host: string, port = 80): Promise<string> =>
  (await daemon.docker("exec", from, "nc", "-w", "1", host, String(port))).stdout.trim();

test("containers of two bridges, of an internal one, and of one that keeps them apart", async () => {
  for (const [name, ...options] of [
    ["one"],
    ["two"],
    ["closed", "--internal"],
    ["mute", "-o", "com.docker.network.bridge.enable_icc=false"],
  ]) {
    await daemon.ok("network", "create", ...options, name ?? "");
  }
  const admin = ["--cap-add", "NET_ADMIN"];
  await Promise.all([
    serve("box-a", "--network", "one", ...admin),
    serve("box-b", "--network", "two", "-p", "127.0.0.1:18201:80", "-p", `${daemon.gateway}:18202:80`),
    serve("box-c", "--network", "closed", ...admin),
    serve("box-d", "--network", "closed"),
    serve("box-e", "--network", "mute", "-p", `${daemon.gateway}:18203:80`),
    serve("box-f", "--network", "mute"),
  ]);
  const [a, b, c, d, e] = await Promise.all([
    address("box-a", "one"),
    address("box-b", "two"),
    address("box-c", "closed"),
    address("box-d", "closed"),
    address("box-e", "mute"),
  ]);
  const gateway = await daemon.ok("network", "inspect", "closed", "-f", "{{(index .IPAM.Config 0).Gateway}}");
  await daemon.ok("exec", "box-c", "ip", "route", "add", "default", "via", gateway);
  // until they all listen
  for (
    let n = 0;
    n < 50 && !((await ask("box-a", "127.0.0.1")) && (await ask("box-e", "127.0.0.1")) && (await ask("box-b", "127.0.0.1")));
    n++
  )
    await Bun.sleep(50);
  const heard = await Promise.all([
    ask("box-a", b),
    ask("box-a", c),
    ask("box-a", daemon.gateway, 18202),
    ask("box-c", d),
    ask("box-c", a),
    ask("box-c", daemon.gateway, 18202),
    ask("box-f", e),
    ask("box-f", daemon.gateway, 18203),
  ]);
  expect(heard).toEqual(["", "", "box-b", "box-d", "", "", "", "box-e"]);
  // one of both networks is a neighbour of both, and no way from one to the other
  await daemon.ok("network", "connect", "two", "box-a");
  expect(await ask("box-a", b)).toBe("box-b");
  await daemon.ok("network", "disconnect", "two", "box-a");
  expect(await ask("box-a", b)).toBe("");
});

test("port audit: who reaches a port, behind a firewall of the host, too", async () => {
  await daemon.ok("run", "-d", "--name", "web", "-p", "18210:80", "-p", "127.0.0.1:18211:81", "busybox", "sleep", "1000");
  const audit = async () => {
    const { json } = await daemon.api<{
      Ports: {
        HostIp: string;
        HostPort: number;
        Name: string;
        Reach: { From: string; Verdict: string; Rule: { Table: string } | null }[];
      }[];
      Warnings: string[];
    }>("GET", "/ports/audit");
    const of = (ip: string, port: number) => json.Ports.find(({ HostIp, HostPort }) => HostIp === ip && HostPort === port);
    const outside = (ip: string, port: number) => of(ip, port)?.Reach.find(({ From }) => From === "outside");
    return { outside, warnings: json.Warnings.filter((text) => text.includes("dhow-e2e-fw")) };
  };
  const before = await audit();
  // a machine without an interface that leads elsewhere has nobody outside
  if (before.outside("127.0.0.1", 18211) === undefined) return;
  expect(before.outside("127.0.0.1", 18211)?.Verdict).toBe("drop");
  expect(before.warnings).toEqual([]);
  // names this daemon's bridge alone: others run beside it
  const rules = `table inet dhow-e2e-fw { chain forward { type filter hook forward priority 5; policy accept; iifname ${daemon.bridge} drop; oifname ${daemon.bridge} drop; }; }`;
  try {
    expect(Bun.spawnSync(["nft", "-f", "-"], { stdin: Buffer.from(`${rules}\n`) }).exitCode).toBe(0);
    const { outside, warnings } = await audit();
    expect(outside("0.0.0.0", 18210)).toMatchObject({ Verdict: "drop", Rule: { Table: "inet dhow-e2e-fw" } });
    expect(warnings.join()).toContain(`containers of ${daemon.bridge} are cut off; accept the interface ${daemon.bridge} there`);
    const kept = Bun.spawnSync(["nft", "list", "table", "inet", "dhow-e2e-fw"]).stdout.toString();
    expect(kept).toContain(`iifname "${daemon.bridge}" drop`);
  } finally {
    Bun.spawnSync(["nft", "delete", "table", "inet", "dhow-e2e-fw"]);
  }
});
