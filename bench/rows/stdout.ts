import { timed } from "../engine.ts";
import type { Row } from "../measure.ts";

const BLOCKS = 3200;
const BLOCK_BYTES = 64 * 1024;
const COMMAND = ["run", "--rm", "--net=none", "busybox", "sh", "-c", `dd if=/dev/zero bs=64k count=${BLOCKS} 2>/dev/null`];

/** 200 MB (3,200 times 64 KiB) from a container to the terminal of an attached client. */
export const stdoutRow: Row = {
  key: "stdout",
  figures: { time: { title: "200 MB of attached stdout", unit: "s", target: { kind: "ratio", max: 0.5 } } },
  rounds: 3,
  sample: ({ docker }, engine) => ({ time: timed(() => docker.run(engine, COMMAND)) / 1000 }),
  verify: ({ docker }, engine) => {
    const found = docker.outputBytes(engine, COMMAND);
    if (found !== BLOCKS * BLOCK_BYTES) throw new Error(`${engine.name} passed on ${found} bytes of ${BLOCKS * BLOCK_BYTES}`);
  },
};
