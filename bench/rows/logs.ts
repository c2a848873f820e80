import { timed } from "../engine.ts";
import type { Row } from "../measure.ts";

const BOX = "bench-logs";
const LINE = `${"0123456789".repeat(7)}012345678`;
const LINES = 500_000;

/** A container that writes 500,000 lines of 80 bytes to an attached client and the log; then the log read back. */
export const logsRow: Row = {
  key: "logs",
  figures: {
    write: { title: "500,000 log lines written", unit: "s", target: { kind: "ratio", max: 0.5 } },
    read: { title: "500,000 log lines read back", unit: "s", target: { kind: "ratio", max: 0.3 } },
  },
  rounds: 3,
  sample: ({ docker }, engine) => {
    docker.run(engine, ["rm", "-f", BOX], { check: false });
    const command = ["sh", "-c", `yes ${LINE} | head -n ${LINES}`];
    const write = timed(() => docker.run(engine, ["run", "--name", BOX, "--net=none", "busybox", ...command])) / 1000;
    const read = timed(() => docker.run(engine, ["logs", BOX])) / 1000;
    return { write, read };
  },
  verify: ({ docker }, engine) => {
    const found = docker.outputBytes(engine, ["logs", BOX]);
    const wanted = LINES * (LINE.length + 1);
    if (found !== wanted) throw new Error(`the log of ${engine.name} has ${found} bytes, ${wanted} were written`);
  },
  cleanUp: ({ docker }, engine) => docker.run(engine, ["rm", "-f", BOX], { check: false }),
};
