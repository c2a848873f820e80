import { timed } from "../engine.ts";
import type { Row } from "../measure.ts";
import type { Figure } from "../statistics.ts";

const BOX = "bench-logs";
const LINE = `${"0123456789".repeat(7)}012345678`;
const LINES = 500_000;

interface Variant {
  readonly key: string;
  readonly title: string;
  readonly flags: readonly string[];
  /** Shares of dockerd's time. */
  readonly targets?: { readonly write: number; readonly read: number };
}

/** A container that writes 500,000 lines of 80 bytes to an attached client and the log; then the log read back. */
function logs({ key, title, flags, targets }: Variant): Row {
  const figure = (what: string, max: number | undefined): Figure => ({
    title: `500,000 log lines ${what}${title}`,
    unit: "s",
    ...(max === undefined ? {} : { target: { kind: "ratio", max } }),
  });
  return {
    key,
    figures: { write: figure("written", targets?.write), read: figure("read back", targets?.read) },
    rounds: 3,
    sample: ({ docker }, engine) => {
      docker.run(engine, ["rm", "-f", BOX], { check: false });
      const command = ["--name", BOX, "--net=none", ...flags, "busybox", "sh", "-c", `yes ${LINE} | head -n ${LINES}`];
      const write = timed(() => docker.run(engine, ["run", ...command])) / 1000;
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
}

/** With each engine's default driver, which is not the same; then with the same driver, for information. */
export const logsRows: readonly Row[] = [
  logs({ key: "logs", title: "", flags: [], targets: { write: 0.5, read: 0.3 } }),
  logs({ key: "logs-local", title: ", both with `--log-driver local`", flags: ["--log-driver", "local"] }),
  logs({ key: "logs-json", title: ", both with `--log-driver json-file`", flags: ["--log-driver", "json-file"] }),
];
