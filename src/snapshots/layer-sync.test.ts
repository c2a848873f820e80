import { expect, test } from "bun:test";
import { join } from "node:path";
import { type ChainId, type Digest, silentLogger } from "../lib/mod.ts";
import { LayerSync } from "./layer-sync.ts";
import { temporaryDirectory } from "./test-support.ts";

const [FIRST, LATE] = ["a", "b"].map((digit) => `sha256:${digit.repeat(64)}` as Digest as ChainId) as [ChainId, ChainId];

/** Syncs below `directory`; while the first layer is being synced another one comes. */
async function sync(directory: string): Promise<{ readonly left: ChainId[]; readonly asked: number }> {
  const left = new Set([FIRST]);
  let asked = 0;
  const records = {
    unsynced: () => {
      const layers = [...left].map((chainId) => ({ chainId }));
      if (asked++ === 0) left.add(LATE);
      return layers;
    },
    setSynced: (chain: ChainId) => void left.delete(chain),
  };
  const syncing = new LayerSync({ records, directoryOf: (chain) => join(directory, chain), log: silentLogger, delayMs: 1 });
  syncing.soon();
  syncing.soon();
  await syncing.drain();
  return { left: [...left], asked };
}

test("a layer that comes while others are being synced is synced, too, and nobody minds one that has gone", async () => {
  using tmp = temporaryDirectory();
  expect((await sync(tmp.path)).left).toEqual([]);
});

test("what can't be synced stays marked and is not tried for ever", async () => {
  using tmp = temporaryDirectory();
  expect(await sync(join(tmp.path, "missing"))).toEqual({ left: [FIRST, LATE], asked: 1 });
});
