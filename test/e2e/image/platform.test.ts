import { afterAll, beforeAll, expect, test } from "bun:test";
import { Daemon } from "../daemon.ts";

const skipReason = process.getuid?.() === 0 ? "" : "needs root";
let daemon: Daemon;

beforeAll(async () => {
  if (skipReason === "") daemon = await Daemon.start();
});

afterAll(async () => {
  if (skipReason === "") await daemon[Symbol.asyncDispose]();
});

const parameter = (os: string, architecture: string): string => encodeURIComponent(JSON.stringify({ os, architecture }));

test.skipIf(skipReason !== "")("DELETE /images/{name} leaves an image of another platform alone, also by force", async () => {
  await daemon.docker("tag", "busybox", "kept:1");
  const { architecture } = JSON.parse((await daemon.docker("image", "inspect", "-f", "{{json .}}", "kept:1")).stdout.toLowerCase());
  const remove = (platforms: string) =>
    fetch(`http://d/images/kept:1?force=1&platforms=${platforms}`, { method: "DELETE", unix: daemon.socket });
  const refused = await remove(parameter("linux", "sparc64"));
  expect(refused.status).toBe(404);
  expect(await refused.json()).toEqual({
    message: `image with reference kept:1 was found but its platform (linux/${architecture}) does not match the specified platform (linux/sparc64)`,
  });
  expect((await remove("x")).status).toBe(400);
  expect((await remove(`${parameter("linux", "sparc64")}&platforms=${parameter("linux", architecture)}`)).status).toBe(200);
});
