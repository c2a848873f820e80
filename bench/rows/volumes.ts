import { callsMs, timed } from "../engine.ts";
import type { Row } from "../measure.ts";

const VOLUME = "bench-volume";
const IMAGE = "bench-with-files";
const MAKER = "bench-volume-maker";
const FILES = 1000;

/** By the API, which is the engine's own part, and by the command line, which takes about 20 ms for each of its two starts. */
const createAndRemove: Row = {
  key: "volume",
  figures: {
    calls: { title: "a volume created and removed, by the API", unit: "ms" },
    commands: { title: "`volume create` and `volume rm`", unit: "ms" },
  },
  sample: async ({ docker }, engine) => ({
    calls: await callsMs(engine, [
      ["POST", "/volumes/create", { Name: VOLUME }],
      ["DELETE", `/volumes/${VOLUME}`],
    ]),
    commands: timed(() => {
      docker.run(engine, ["volume", "create", VOLUME]);
      docker.run(engine, ["volume", "rm", VOLUME]);
    }),
  }),
  cleanUp: ({ docker }, engine) => docker.run(engine, ["volume", "rm", "-f", VOLUME], { check: false }),
};

/** A container with a new volume that the image's files are copied to, from the command's start to its end. */
const copyUp: Row = {
  key: "volume-copy",
  figures: {
    time: { title: "`run --rm -v name:/data`, 1,000 files of the image copied", unit: "ms" },
  },
  prepare: ({ docker }, engine) => {
    const fill = `mkdir -p /data/d; i=0; while [ $i -lt ${FILES} ]; do echo file $i > /data/d/$i; i=$((i+1)); done`;
    docker.run(engine, ["run", "--name", MAKER, "--net=none", "busybox", "sh", "-c", fill]);
    docker.run(engine, ["commit", MAKER, IMAGE]);
    docker.run(engine, ["rm", MAKER]);
  },
  sample: ({ docker }, engine) => {
    docker.run(engine, ["volume", "rm", "-f", VOLUME]);
    return { time: timed(() => docker.run(engine, ["run", "--rm", "--net=none", "-v", `${VOLUME}:/data`, IMAGE, "true"])) };
  },
  verify: ({ docker }, engine) => {
    const found = docker.output(engine, ["run", "--rm", "--net=none", "-v", `${VOLUME}:/v`, "busybox", "sh", "-c", "ls /v/d | wc -l"]);
    if (found !== String(FILES)) throw new Error(`${found} files are in the volume`);
  },
  cleanUp: ({ docker }, engine) => {
    docker.run(engine, ["rm", "-f", MAKER], { check: false });
    docker.run(engine, ["volume", "rm", "-f", VOLUME], { check: false });
    docker.run(engine, ["rmi", "-f", IMAGE], { check: false });
  },
};

export const volumeRows: readonly Row[] = [createAndRemove, copyUp];
