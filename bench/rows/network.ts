import { callsMs, timed } from "../engine.ts";
import type { Row } from "../measure.ts";

const NETWORK = "bench-network";
const OTHER = "bench-network-2";
const BOX = "bench-connected";
const TARGET = { kind: "ratio", max: 0.2 } as const;

/** A container on a network of its own, from the command's start to its end. */
const runOnNetwork: Row = {
  key: "run-network",
  figures: { time: { title: "`run --rm` on a user-defined network", unit: "ms", target: { kind: "ratio", max: 0.15 } } },
  prepare: ({ docker }, engine) => docker.run(engine, ["network", "create", NETWORK]),
  sample: ({ docker }, engine) => ({ time: timed(() => docker.run(engine, ["run", "--rm", "--network", NETWORK, "busybox", "true"])) }),
  cleanUp: ({ docker }, engine) => docker.run(engine, ["network", "rm", NETWORK], { check: false }),
};

/** By the API, which is the engine's own part, and by the command line, which takes about 20 ms for each of its two starts. */
const createAndRemove: Row = {
  key: "network",
  figures: {
    calls: { title: "a network created and removed, by the API", unit: "ms", target: TARGET },
    commands: { title: "`network create` and `network rm`", unit: "ms" },
  },
  sample: async ({ docker }, engine) => ({
    calls: await callsMs(engine, [
      ["POST", "/networks/create", { Name: NETWORK, CheckDuplicate: true }],
      ["DELETE", `/networks/${NETWORK}`],
    ]),
    commands: timed(() => {
      docker.run(engine, ["network", "create", NETWORK]);
      docker.run(engine, ["network", "rm", NETWORK]);
    }),
  }),
  cleanUp: ({ docker }, engine) => docker.run(engine, ["network", "rm", NETWORK], { check: false }),
};

const connectAndDisconnect: Row = {
  key: "connect",
  figures: {
    calls: { title: "a running container connected and disconnected, by the API", unit: "ms", target: TARGET },
    commands: { title: "`network connect` and `disconnect`", unit: "ms" },
  },
  prepare: ({ docker }, engine) => {
    docker.run(engine, ["network", "create", OTHER]);
    docker.run(engine, ["run", "-d", "--name", BOX, "busybox", "sleep", "900"]);
  },
  sample: async ({ docker }, engine) => ({
    calls: await callsMs(engine, [
      ["POST", `/networks/${OTHER}/connect`, { Container: BOX }],
      ["POST", `/networks/${OTHER}/disconnect`, { Container: BOX }],
    ]),
    commands: timed(() => {
      docker.run(engine, ["network", "connect", OTHER, BOX]);
      docker.run(engine, ["network", "disconnect", OTHER, BOX]);
    }),
  }),
  cleanUp: ({ docker }, engine) => {
    docker.run(engine, ["rm", "-f", BOX], { check: false });
    docker.run(engine, ["network", "rm", OTHER], { check: false });
  },
};

export const networkRows: readonly Row[] = [runOnNetwork, createAndRemove, connectAndDisconnect];
