import { timed } from "../engine.ts";
import type { Row } from "../measure.ts";

const BOX = "bench-ps";

/** The two command lines, both in front of dhow, so that nothing but they differ. */
export const psRow: Row = {
  key: "ps",
  figures: { time: { title: "`dhow ps` (compiled) against `docker ps`, both asking dhow", unit: "ms", target: { kind: "ratio", max: 1 } } },
  prepare: ({ docker, dhow }, engine) => {
    if (engine === dhow) docker.run(dhow, ["run", "-d", "--name", BOX, "busybox", "sleep", "900"]);
  },
  sample: ({ docker, dhow, binary }, engine) => ({
    time: timed(() => docker.runProgram(engine === dhow ? binary : docker.path, dhow, ["ps"])),
  }),
  cleanUp: ({ docker, dhow }, engine) => {
    if (engine === dhow) docker.run(dhow, ["rm", "-f", BOX], { check: false });
  },
};
