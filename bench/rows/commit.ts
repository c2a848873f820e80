import { rmSync } from "node:fs";
import { join } from "node:path";
import { timed } from "../engine.ts";
import type { Row } from "../measure.ts";

const CONTAINER = "bench-contents";
const IMAGE = "bench-contents:1";

/** A stopped container that has written 100 MB. */
const prepare: NonNullable<Row["prepare"]> = ({ docker }, engine) => {
  docker.run(engine, ["run", "--name", CONTAINER, "busybox", "sh", "-c", "dd if=/dev/urandom of=/big bs=1M count=100"]);
};

const cleanUp: NonNullable<Row["cleanUp"]> = ({ docker }, engine) => {
  docker.run(engine, ["rm", "-f", CONTAINER]);
};

/** `docker commit` of a container that has written 100 MB. */
export const commitRow: Row = {
  key: "commit",
  figures: { time: { title: "`commit` of 100 MB", unit: "s", target: { kind: "ratio", max: 0.6 } } },
  rounds: 5,
  warmUps: 1,
  prepare,
  sample: ({ docker }, engine) => {
    const time = timed(() => docker.run(engine, ["commit", CONTAINER, IMAGE])) / 1000;
    // the next one must not find the layer
    docker.run(engine, ["rmi", IMAGE]);
    return { time };
  },
  cleanUp,
};

/** `docker export` of a Debian file system into a file. */
export const exportRow: Row = {
  key: "export",
  figures: { time: { title: "`export` of a 170 MB container", unit: "s", target: { kind: "ratio", max: 0.8 } } },
  rounds: 5,
  warmUps: 3,
  prepare: ({ docker }, engine) => {
    docker.run(engine, ["create", "--name", CONTAINER, "deb:base", "true"]);
  },
  sample: ({ docker, scratch }, engine) => {
    const path = join(scratch, "exported.tar");
    rmSync(path, { force: true });
    return { time: timed(() => docker.run(engine, ["export", "-o", path, CONTAINER])) / 1000 };
  },
  cleanUp,
};
