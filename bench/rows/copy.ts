import { mkdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { timed } from "../engine.ts";
import type { Bench, Row } from "../measure.ts";

const NAME = "bench-copy";
const LARGE_BYTES = 200 * 1000 * 1000;
const DIRECTORIES = 100;
const FILES = 100;
const TARGET = { kind: "ratio", max: 0.8 } as const;

const start: NonNullable<Row["prepare"]> = ({ docker }, engine) =>
  docker.run(engine, ["run", "-d", "--name", NAME, "--net=none", "busybox", "sleep", "100000"]);
const remove: NonNullable<Row["cleanUp"]> = ({ docker }, engine) => docker.run(engine, ["rm", "-f", NAME], { check: false });

/** A file of bytes that repeat nowhere near. */
function largeFile({ scratch }: Bench): string {
  const path = join(scratch, "large");
  if (statSync(path, { throwIfNoEntry: false })?.size === LARGE_BYTES) return path;
  const bytes = new Uint8Array(LARGE_BYTES);
  for (let at = 0; at < bytes.length; at += 65536) crypto.getRandomValues(bytes.subarray(at, Math.min(bytes.length, at + 65536)));
  writeFileSync(path, bytes);
  return path;
}

/** A directory with 10,000 small files. */
function manyFiles({ scratch }: Bench): string {
  const path = join(scratch, "many");
  if (statSync(path, { throwIfNoEntry: false })) return path;
  for (let dir = 0; dir < DIRECTORIES; dir++) {
    mkdirSync(join(path, String(dir)), { recursive: true });
    for (let file = 0; file < FILES; file++) writeFileSync(join(path, String(dir), String(file)), `file ${file} of directory ${dir}\n`);
  }
  return path;
}

/** `docker cp` of a file or directory into a running container and out of it again. */
function copy(key: string, title: string, source: (bench: Bench) => string): Row {
  return {
    key,
    figures: {
      in: { title: `\`cp\` of ${title} into a container`, unit: "ms", target: TARGET },
      out: { title: `\`cp\` of ${title} out of it`, unit: "ms", target: TARGET },
    },
    rounds: 7,
    prepare: (bench, engine) => {
      source(bench);
      return start(bench, engine);
    },
    sample: (bench, engine) => {
      const { docker, scratch } = bench;
      const from = source(bench);
      const out = join(scratch, `${key}-out`);
      docker.run(engine, ["exec", NAME, "rm", "-rf", "/tmp/in"]);
      rmSync(out, { recursive: true, force: true });
      const into = timed(() => docker.run(engine, ["cp", "-q", from, `${NAME}:/tmp/in`]));
      return { in: into, out: timed(() => docker.run(engine, ["cp", "-q", `${NAME}:/tmp/in`, out])) };
    },
    verify: ({ docker, scratch }, engine) => {
      const found = docker.output(engine, ["exec", NAME, "sh", "-c", "find /tmp/in -type f | wc -l; du -sk /tmp/in | cut -f1"]);
      const [files = "", kib = ""] = found.split("\n");
      if (key === "cp-many" ? files !== String(DIRECTORIES * FILES) : Number(kib) * 1024 < LARGE_BYTES) {
        throw new Error(`copied ${files} files, ${kib} KiB`);
      }
      rmSync(join(scratch, `${key}-out`), { recursive: true, force: true });
    },
    cleanUp: remove,
  };
}

export const copyRows: readonly Row[] = [copy("cp", "200 MB", largeFile), copy("cp-many", "10,000 small files", manyFiles)];
