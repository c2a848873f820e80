import { readFileSync } from "node:fs";
import type { Engine } from "../engine.ts";
import type { Bench, Row } from "../measure.ts";

const NETWORK = "bench-throughput";
const BOXES = ["bench-server", "bench-client"] as const;
const PORT = "5201";
const SECONDS = "2";

type From = "the host's address" | "another container";

function pidOf({ docker }: Bench, engine: Engine, name: string): string {
  return docker.output(engine, ["inspect", "-f", "{{.State.Pid}}", name]);
}

/** Milliseconds that a gigabyte takes from a client in the network of `pid`, over so many streams at once. @throws when iperf3 fails */
function gigabyteMs(pid: string, address: string, port: string, streams: number): number {
  const client = ["iperf3", "-J", "-c", address, "-p", port, "-t", SECONDS, "-P", `${streams}`];
  const { stdout, exitCode } = Bun.spawnSync(["nsenter", "-t", pid, "-n", ...client], { stdio: ["ignore", "pipe", "inherit"] });
  const { end, error } = JSON.parse(stdout.toString()) as {
    readonly end: { readonly sum_received: { readonly bits_per_second: number } };
    readonly error?: string;
  };
  if (exitCode !== 0 || error !== undefined) throw new Error(`iperf3: ${error ?? `exit code ${exitCode}`}`);
  return 8e9 / (end.sum_received.bits_per_second / 1000);
}

/** Waits until somebody listens on the port in the network of `pid`. @throws after ten seconds */
async function untilListening(pid: string): Promise<void> {
  const local = `:${Number(PORT).toString(16).padStart(4, "0").toUpperCase()} `;
  for (let i = 0; i < 100; i++) {
    if (["tcp", "tcp6"].some((file) => readFileSync(`/proc/${pid}/net/${file}`, "utf8").includes(local))) return;
    await Bun.sleep(100);
  }
  throw new Error("iperf3 does not listen");
}

/** Debian's iperf3 between two places, through what each engine puts between them. */
function throughput(key: string, from: From, option?: string): Row {
  const isInternal = option !== undefined;
  const to = `a container${from === "another container" ? "" : "'s published port"}${isInternal ? ` of an internal network, ${option}` : ""}`;
  const title = (streams: number): string => `1 GB from ${from} to ${to}, ${streams} ${streams === 1 ? "stream" : "streams"}`;
  const target = { kind: "ratio", max: 1 } as const;
  const servers: Bun.Subprocess[] = [];
  return {
    key,
    figures: { one: { title: title(1), unit: "ms", target }, many: { title: title(16), unit: "ms", target } },
    rounds: 5,
    prepare: async (bench, engine) => {
      if (Bun.which("iperf3") === null) throw new Error("iperf3 is missing: apt-get install iperf3");
      const { docker } = bench;
      docker.run(engine, ["network", "create", ...(isInternal ? ["--internal", "-o", option] : []), NETWORK]);
      for (const name of BOXES) {
        const ports = name === BOXES[0] && !isInternal ? ["-p", `${PORT}`] : [];
        docker.run(engine, ["run", "-d", "--name", name, "--network", NETWORK, ...ports, "busybox", "sleep", "900"]);
      }
      const server = Bun.spawn(["nsenter", "-t", pidOf(bench, engine, BOXES[0]), "-n", "iperf3", "-s", "-p", PORT], {
        stdio: ["ignore", "ignore", "ignore"],
      });
      servers.push(server);
      await untilListening(pidOf(bench, engine, BOXES[0]));
    },
    sample: (bench, engine) => {
      const { docker } = bench;
      const inspect = (format: string): string => docker.output(engine, ["inspect", "-f", format, BOXES[0]]);
      const isContainer = from === "another container";
      const pid = isContainer ? pidOf(bench, engine, BOXES[1]) : `${engine.pid}`;
      const address = inspect(`{{(index .NetworkSettings.Networks "${NETWORK}").${isContainer ? "IPAddress" : "Gateway"}}}`);
      const port = isContainer ? PORT : inspect(`{{(index (index .NetworkSettings.Ports "${PORT}/tcp") 0).HostPort}}`);
      return { one: gigabyteMs(pid, address, port, 1), many: gigabyteMs(pid, address, port, 16) };
    },
    cleanUp: ({ docker }, engine) => {
      for (const server of servers.splice(0)) server.kill();
      docker.run(engine, ["rm", "-f", ...BOXES], { check: false });
      docker.run(engine, ["network", "rm", NETWORK], { check: false });
    },
  };
}

export const throughputRows: readonly Row[] = [
  throughput("throughput-port", "the host's address"),
  throughput("throughput", "another container"),
  throughput("throughput-big", "another container", "dhow.big-tcp=true"),
];
