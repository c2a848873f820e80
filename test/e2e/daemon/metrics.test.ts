/** `--metrics-addr`: dockerd's metrics in the text that Prometheus reads. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { Daemon, until } from "../daemon.ts";

let daemon: Daemon;
let url: string;

beforeAll(async () => {
  daemon = await Daemon.start({ args: ["--metrics-addr", ":0"] });
  url = await until("the address", () => /metrics API listening on.* address=tcp:\/\/(127\.0\.0\.1:\d+\/metrics)/.exec(daemon.log)?.[1]);
});
afterAll(() => daemon[Symbol.asyncDispose]());

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (-?[\d.]+(?:e[+-]\d+)?|\+Inf|NaN)$/;

/** Reads the text strictly: each metric once, its help and type before its samples, and nothing twice. */
function parse(text: string): ReadonlyMap<string, number> {
  expect(text).toEndWith("\n");
  const samples = new Map<string, number>();
  const seen = new Set<string>();
  let current = { name: "", type: "" };
  for (const line of text.trimEnd().split("\n")) {
    const help = /^# HELP (\S+) \S/.exec(line);
    const type = /^# TYPE (\S+) (counter|gauge|histogram)$/.exec(line);
    if (help) {
      expect(seen).not.toContain(help[1] ?? "");
      seen.add(help[1] ?? "");
      current = { name: help[1] ?? "", type: "" };
    } else if (type) {
      expect(type[1]).toBe(current.name);
      current = { name: current.name, type: type[2] ?? "" };
    } else {
      const [, name = "", labels = "", value] = LINE.exec(line) ?? [];
      expect([line, name === "" ? "no sample" : "sample"]).toEqual([line, "sample"]);
      expect(name.replace(current.type === "histogram" ? /_(bucket|sum|count)$/ : /$^/, "")).toBe(current.name);
      const key = labels === "" ? name : `${name}{${labels}}`;
      expect(samples.has(key)).toBe(false);
      samples.set(key, Number(value === "+Inf" ? "Infinity" : value));
    }
  }
  return samples;
}

async function scrape(): Promise<(name: string) => number | undefined> {
  const response = await fetch(`http://${url}`);
  expect(response.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
  const samples = parse(await response.text());
  return (name) => samples.get(name);
}

test("container states, actions, events and health checks are counted", async () => {
  const before = await scrape();
  await daemon.ok("run", "-d", "--name", "one", "--health-cmd", "exit 1", "--health-interval", "100ms", "busybox", "top");
  await daemon.ok("run", "-d", "--name", "two", "busybox", "top");
  await daemon.ok("pause", "two");
  await daemon.ok("create", "--name", "three", "busybox");
  const state = (name: string): string => `engine_daemon_container_states_containers{state="${name}"}`;
  const after = await scrape();
  expect([after(state("running")), after(state("paused")), after(state("stopped"))]).toEqual([1, 1, 1]);
  const actions = (name: string): string => `engine_daemon_container_actions_seconds_count{action="${name}"}`;
  expect((after(actions("create")) ?? 0) - (before(actions("create")) ?? 0)).toBe(3);
  expect((after(actions("start")) ?? 0) - (before(actions("start")) ?? 0)).toBe(2);
  expect(after('engine_daemon_container_actions_seconds_bucket{action="start",le="+Inf"}')).toBe(after(actions("start")));
  await daemon.ok("diff", "one");
  await daemon.ok("network", "create", "side");
  await daemon.ok("network", "connect", "side", "one");
  await daemon.ok("network", "disconnect", "side", "one");
  await daemon.ok("network", "rm", "side");
  const later = await scrape();
  expect((later(actions("changes")) ?? 0) - (before(actions("changes")) ?? 0)).toBe(1);
  for (const action of ["connect", "disconnect"]) {
    expect(later(`engine_daemon_network_actions_seconds_count{action="${action}"}`)).toBe(1);
  }
  expect((after("engine_daemon_events_total") ?? 0) - (before("engine_daemon_events_total") ?? 0)).toBeGreaterThan(5);
  await until("a failed check", async () => ((await scrape())("engine_daemon_health_checks_failed_total") ?? 0) > 0);
  await daemon.ok("rm", "-f", "one", "two", "three");
  expect((await scrape())(actions("delete"))).toBe((before(actions("delete")) ?? 0) + 3);
});

test("the engine and its process are told", async () => {
  const text = await (await fetch(`http://${url}`)).text();
  const { json: info } = await daemon.api<{ readonly ID: string; readonly NCPU: number; readonly MemTotal: number }>("GET", "/info");
  expect(text).toContain(`daemon_id="${info.ID}"`);
  const samples = parse(text);
  expect(samples.get("engine_daemon_engine_cpus_cpus")).toBe(info.NCPU);
  expect(samples.get("engine_daemon_engine_memory_bytes")).toBe(info.MemTotal);
  expect(Math.abs((samples.get("process_start_time_seconds") ?? 0) - Date.now() / 1000)).toBeLessThan(3600);
  expect(samples.get("process_resident_memory_bytes")).toBeGreaterThan(10_000_000);
  expect(samples.get("dhow_api_requests_total")).toBeGreaterThan(0);
});

test("nothing else is served, and no web page gets in", async () => {
  expect((await fetch(`http://${url.replace("/metrics", "/version")}`)).status).toBe(404);
  expect((await fetch(`http://${url}`, { headers: { Host: "evil.example" } })).status).toBe(403);
  expect((await fetch(`http://${url}`, { headers: { Origin: "https://evil.example" } })).status).toBe(403);
});

test("a unix socket will do, too; an address that is none is refused at the start", async () => {
  const refused = Daemon.start({ withImage: false, args: ["--metrics-addr", "nonsense"] });
  await expect(refused).rejects.toThrow('invalid metrics address "nonsense": use host:port or unix:///path');
  const socket = join(daemon.dir, "m.sock");
  await using good = await Daemon.start({ withImage: false, args: ["--metrics-addr", `unix://${socket}`] });
  expect(good.log).toContain(`address=unix://${socket}`);
  const response = await fetch("http://localhost/metrics", { unix: socket });
  expect(parse(await response.text()).get("engine_daemon_events_total")).toBe(0);
});
