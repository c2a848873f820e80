import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Bench, Row } from "../measure.ts";
import { quantile } from "../statistics.ts";

const NETWORK = "bench-dns";
const BOXES = ["bench-dns-1", "bench-dns-2"] as const;
const ALIAS = "bench-dns-both";
const PER_SECOND = 5000;
const SECONDS = 3;

/** Names, an alias of both, and a family that they don't have. */
const QUESTIONS = [`${BOXES[0]} A`, `${BOXES[1]} A`, `${ALIAS} A`, `${BOXES[0]}.${NETWORK} A`, `${BOXES[1]} AAAA`];

/** How long each answer took, in microseconds, as `dnsperf -v` prints it: `> NOERROR name type seconds`. @throws when one is wrong or lost */
function readTimes(output: string): readonly number[] {
  const times = [...output.matchAll(/^> (\S+) .* (\d+\.\d+)$/gm)].map(([, code, seconds]) => ({ code, time: Number(seconds) * 1e6 }));
  const wrong = times.filter(({ code }) => code !== "NOERROR").length;
  const lost = Number(/Queries lost:\s+(\d+)/.exec(output)?.[1] ?? 0);
  // at less than the rate the figures would say too little
  const isSlow = times.length < PER_SECOND * SECONDS * 0.99;
  if (wrong > 0 || lost > 0 || isSlow) throw new Error(`dnsperf: ${times.length} answers, ${wrong} of them wrong, ${lost} lost`);
  return times.map(({ time }) => time);
}

function questionsFile({ scratch }: Bench): string {
  const path = join(scratch, "dns-questions");
  writeFileSync(path, `${QUESTIONS.join("\n")}\n`);
  return path;
}

/** The name server of a user-defined network, asked from inside a container by Debian's dnsperf. */
export const dnsRow: Row = {
  key: "dns",
  figures: {
    middle: { title: "DNS in a container, 5,000 queries a second: half of the answers within", unit: "µs" },
    slowest: { title: "the same: 99 of 100 answers within", unit: "µs", target: { kind: "value", max: 1000 } },
  },
  rounds: 5,
  prepare: ({ docker }, engine) => {
    if (Bun.which("dnsperf") === null) throw new Error("dnsperf is missing: apt-get install dnsperf");
    docker.run(engine, ["network", "create", NETWORK]);
    for (const name of BOXES) {
      docker.run(engine, ["run", "-d", "--name", name, "--network", NETWORK, "--network-alias", ALIAS, "busybox", "sleep", "900"]);
    }
  },
  sample: (bench, engine) => {
    const pid = bench.docker.output(engine, ["inspect", "-f", "{{.State.Pid}}", BOXES[0]]);
    const load = ["dnsperf", "-s", "127.0.0.11", "-d", questionsFile(bench), "-Q", `${PER_SECOND}`, "-l", `${SECONDS}`, "-v"];
    const { stdout } = Bun.spawnSync(["nsenter", "-t", pid, "-n", ...load], { stdio: ["ignore", "pipe", "inherit"] });
    const times = readTimes(stdout.toString());
    return { middle: quantile(times, 0.5), slowest: quantile(times, 0.99) };
  },
  cleanUp: ({ docker }, engine) => {
    docker.run(engine, ["rm", "-f", ...BOXES], { check: false });
    docker.run(engine, ["network", "rm", NETWORK], { check: false });
  },
};
