import { expect, test } from "bun:test";
import { GLOBAL_FLAGS } from "../global-flags.ts";
import { complete, type Names } from "./complete.ts";

const names: Names = {
  containers: async (isWanted) => [...(isWanted("running", ["front"]) ? ["web"] : []), ...(isWanted("exited", []) ? ["old"] : [])],
  images: async () => ["busybox", "busybox:latest", "app:1"],
  networks: async () => ["bridge", "front"],
  volumes: async () => ["data"],
  contexts: async () => ["default", "far"],
  leases: async () => ["ci"],
  sockets: async () => ["ci.sock"],
};

async function words(line: string, isDocker = false): Promise<string[]> {
  const found = await complete({ words: line.split(" "), globals: GLOBAL_FLAGS, names, isDocker });
  return [...found.words.map(([word]) => word), ...(found.hasFiles ? [":files"] : [])];
}

test("complete() knows commands, groups and their commands", async () => {
  expect(await words("ex")).toEqual(["exec", "export"]);
  expect(await words("vol")).toEqual(["volume"]);
  expect(await words("volume r")).toEqual(["rename", "resize", "rm"]);
  expect(await words("nothing x")).toEqual([]);
  expect(await words("wh")).toEqual(["why"]);
  expect(await words("wh", true)).toEqual([]);
  expect(await words("lea", true)).toEqual([]);
  expect(await words("__")).toEqual([]);
});

test("complete() knows flags, and which of them want a value", async () => {
  expect(await words("run --memory-s")).toEqual(["--memory-swap", "--memory-swappiness"]);
  expect(await words("run --network ")).toEqual(["bridge", "front", "host", "none"]);
  expect(await words("run --network=b")).toEqual(["--network=bridge"]);
  expect(await words("run -it --restart on")).toEqual(["on-failure"]);
  expect(await words("run -e ")).toEqual([]);
  expect(await words("run --env-file ")).toEqual([":files"]);
  expect(await words("--context f")).toEqual(["far"]);
  expect(await words("--tlsv")).toEqual(["--tlsverify"]);
  expect(await words("run --ttl", true)).toEqual([]);
});

test("complete() knows what the arguments name", async () => {
  expect(await words("exec ")).toEqual(["web"]);
  expect(await words("start ")).toEqual(["old"]);
  expect(await words("rm -f ")).toEqual(["old", "web"]);
  expect(await words("rm old ")).toEqual(["old", "web"]);
  expect(await words("container stop ")).toEqual(["web"]);
  expect(await words("run --rm -v data:/x b")).toEqual(["busybox", "busybox:latest"]);
  expect(await words("run busybox:")).toEqual(["busybox:latest"]);
  expect(await words("run busybox ")).toEqual([":files"]);
  expect(await words("run busybox --me")).toEqual([":files"]);
  expect(await words("exec web -")).toEqual([":files"]);
  expect(await words("inspect ")).toEqual(["app:1", "busybox", "busybox:latest", "old", "web"]);
  expect(await words("volume rm ")).toEqual(["data"]);
  expect(await words("network inspect b")).toEqual(["bridge"]);
  expect(await words("network rm f")).toEqual(["front"]);
  expect(await words("network connect ")).toEqual(["bridge", "front"]);
  expect(await words("network connect front ")).toEqual(["old"]);
  expect(await words("network disconnect front ")).toEqual(["web"]);
  expect(await words("lease rm ")).toEqual(["ci"]);
  expect(await words("socket audit ")).toEqual(["ci.sock"]);
  expect(await words("run --socket ")).toEqual(["ci.sock"]);
  expect(await words("cp w")).toEqual(["web:", ":files"]);
  expect(await words("pause x y ")).toEqual(["web"]);
  expect(await words("rename web ")).toEqual([]);
});
