import { timed } from "../engine.ts";
import type { Row } from "../measure.ts";

const WRITE = "dd if=/dev/zero bs=64k count=3200 2>/dev/null";

/** 200 MB (3,200 times 64 KiB) from a container to the terminal of an attached client. */
export const stdoutRow: Row = {
  key: "stdout",
  figures: { time: { title: "200 MB of attached stdout", unit: "s", target: { kind: "ratio", max: 0.5 } } },
  rounds: 3,
  sample: ({ docker }, engine) => ({
    time: timed(() => docker.run(engine, ["run", "--rm", "--net=none", "busybox", "sh", "-c", WRITE])) / 1000,
  }),
};
