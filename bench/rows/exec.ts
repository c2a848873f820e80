import { timed } from "../engine.ts";
import type { Row } from "../measure.ts";

const BOX = "bench-exec";

/** `docker exec` of `true` in a running container. */
export const execRow: Row = {
  key: "exec",
  figures: { time: { title: "`exec … true`", unit: "ms", target: { kind: "ratio", max: 0.4 } } },
  prepare: ({ docker }, engine) => docker.run(engine, ["run", "-d", "--name", BOX, "busybox", "sleep", "900"]),
  sample: ({ docker }, engine) => ({ time: timed(() => docker.run(engine, ["exec", BOX, "true"])) }),
  cleanUp: ({ docker }, engine) => docker.run(engine, ["rm", "-f", BOX], { check: false }),
};
