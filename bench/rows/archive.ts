import { rmSync } from "node:fs";
import { join } from "node:path";
import { timed } from "../engine.ts";
import type { Row } from "../measure.ts";

/** `docker load` of a Debian image into an engine that doesn't have it. */
export const loadRow: Row = {
  key: "load",
  figures: { time: { title: "`load` of a 170 MB image", unit: "s", target: { kind: "ratio", max: 0.4 } } },
  rounds: 3,
  sample: ({ docker, archives }, engine) => {
    docker.run(engine, ["rmi", "-f", "deb:base"]);
    return { time: timed(() => docker.run(engine, ["load", "-i", archives.debian])) / 1000 };
  },
};

/** `docker save` of the same image into a file. */
export const saveRow: Row = {
  key: "save",
  figures: { time: { title: "`save` of a 170 MB image", unit: "s", target: { kind: "ratio", max: 0.5 } } },
  rounds: 5,
  sample: ({ docker, scratch }, engine) => {
    const path = join(scratch, "saved.tar");
    rmSync(path, { force: true });
    return { time: timed(() => docker.run(engine, ["save", "-o", path, "deb:base"])) / 1000 };
  },
};
