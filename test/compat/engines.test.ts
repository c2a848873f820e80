/**
 * Runs a user's script with dhow and with Debian's dockerd and compares what each line prints and its exit code.
 * The script is testdata/engines.txt; what is left out of the comparison is said in normalise.ts, what differs for a reason in the script.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { busyboxArchive, dockerCli } from "../e2e/daemon.ts";
import { type Engine, missingReference, type Outcome, Shell, startDhow, startDockerd } from "./engines.ts";
import { normalised } from "./normalise.ts";
import { parseScript } from "./script.ts";

/** The newest that both have. */
const API_VERSION = "1.41";
const START_MS = 120_000;
const skipReason = missingReference();
const script = parseScript(readFileSync(join(import.meta.dir, "testdata/engines.txt"), "utf8"));
const engines: Engine[] = [];
/** By the name of the engine: what each line left, in the order of the script. */
const outcomes: Record<string, readonly Promise<Outcome>[]> = {};

/** Each engine goes through the script at its own pace; the tests wait for the slower one. */
function play(engine: Engine, archive: string): readonly Promise<Outcome>[] {
  const shell = new Shell({ engine, docker: [dockerCli], apiVersion: API_VERSION, files: { "busybox.tar": archive } });
  let before: Promise<unknown> = Promise.resolve();
  return script.map(({ command, isUnordered }) => {
    const outcome = before.then(() => shell.run(command)).then((left) => normalised(left, { ...engine, isUnordered }));
    before = outcome;
    return outcome;
  });
}

beforeAll(async () => {
  if (skipReason !== "") return;
  // one that has started ends with the test, also when the other one fails to start
  const keep = (engine: Engine): unknown => engines.push(engine);
  await Promise.all([startDockerd().then(keep), startDhow().then(keep)]);
  const archive = await busyboxArchive();
  for (const engine of engines) outcomes[engine.name] = play(engine, archive);
}, START_MS);

afterAll(async () => {
  for (const { lastWords } of engines) if (lastWords() !== "") console.error(lastWords());
  await Promise.all(engines.map((engine) => engine[Symbol.asyncDispose]()));
}, START_MS);

if (skipReason !== "") test.skip(`dhow and dockerd agree (${skipReason})`, () => {});
else {
  for (const section of new Set(script.map((step) => step.section))) {
    describe(section, () => {
      for (const [index, { name, command, difference, ...step }] of script.entries()) {
        if (step.section !== section) continue;
        test(`${name}: ${command}`, async () => {
          const [theirs, ours] = await Promise.all([outcomes["dockerd"]?.[index], outcomes["dhow"]?.[index]]);
          if (difference === undefined) expect(ours).toEqual(theirs);
          else {
            expect(ours).not.toEqual(theirs);
            expect(`${ours?.stdout}${ours?.stderr}`.replaceAll("\r", "")).toBe(difference.ours);
          }
        });
      }
    });
  }
}
