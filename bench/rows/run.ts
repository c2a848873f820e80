import { timed } from "../engine.ts";
import type { Row } from "../measure.ts";

/** `docker run --rm … busybox true`, from the command's start to its end. */
function run(key: string, title: string, flags: readonly string[]): Row {
  return {
    key,
    figures: { time: { title, unit: "ms", target: { kind: "ratio", max: 0.15 } } },
    sample: ({ docker }, engine) => ({ time: timed(() => docker.run(engine, ["run", "--rm", ...flags, "busybox", "true"])) }),
  };
}

export const runRows: readonly Row[] = [
  run("run", "`run --rm busybox true`, default bridge", []),
  run("run-none", "`run --rm --net=none`", ["--net=none"]),
  run("run-port", "`run --rm -p 127.0.0.1::80`", ["-p", "127.0.0.1::80"]),
  run("run-volume", "`run --rm -v /data`", ["-v", "/data"]),
];
