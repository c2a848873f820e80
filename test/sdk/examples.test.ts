/**
 * docs/sdk.md shows the programs of examples/ and what they print. Here they are run: from the checkout by Bun, and with the packed
 * package by Node.js and Deno; with dhow, and with Debian's dockerd.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { npmClients } from "../compat/clients.ts";
import { type Engine, missingReference, startDhow, startDockerd } from "../compat/engines.ts";
import { busyboxArchive } from "../e2e/daemon.ts";
import { compile, makeProject, type Project } from "./package.ts";

const CHECKOUT = join(import.meta.dir, "../..");
const START_MS = 120_000;
const SHOWN = /<!-- (examples\/[\w-]+\.ts) -->\n```ts\n([\s\S]*?)```\n\n```text\n([\s\S]*?)```/g;

interface Example {
  readonly path: string;
  readonly code: string;
  readonly output: string;
}

const examples: readonly Example[] = [...readFileSync(join(CHECKOUT, "docs/sdk.md"), "utf8").matchAll(SHOWN)].map(
  ([, path = "", code = "", output = ""]) => ({ path, code, output: normalised(output) }),
);

/** Empty lines don't count, nor does which port was free. */
function normalised(output: string): string {
  return output
    .replaceAll(/\n+/g, "\n")
    .replaceAll(/localhost:\d+/g, "localhost:PORT")
    .trim();
}

test("the page shows the examples as they are, and all of them", () => {
  const files = readdirSync(join(CHECKOUT, "examples")).map((name) => `examples/${name}`);
  expect(examples.map(({ path }) => path).sort()).toEqual(files.sort());
  for (const { path, code } of examples) expect(code).toBe(readFileSync(join(CHECKOUT, path), "utf8"));
});

/** What runs an example. */
interface Runtime {
  readonly name: string;
  readonly skipReason: string;
  readonly command: (path: string) => readonly string[];
  readonly cwd: () => string;
}

const skipReason = process.getuid?.() === 0 ? "" : "needs root";
const clients = skipReason === "" ? npmClients() : { skipReason };
const engines: Record<string, Engine> = {};
let project: Project;

const bun: Runtime = {
  name: "Bun",
  skipReason,
  command: (path) => [process.execPath, "--no-env-file", "--config=/dev/null", path],
  cwd: () => CHECKOUT,
};
const node: Runtime = {
  name: "Node.js",
  skipReason: skipReason || (Bun.which("node") === null ? "finds no node" : ""),
  command: (path) => ["node", join("out", path.replace(/\.ts$/, ".js"))],
  cwd: () => project.dir,
};
const deno: Runtime = {
  name: "Deno",
  skipReason: "skipReason" in clients ? clients.skipReason : "",
  command: (path) => [
    join("dir" in clients ? clients.dir : "", "node_modules/.bin/deno"),
    "run",
    "--allow-all",
    "--no-lock",
    "--cached-only",
    path,
  ],
  cwd: () => project.dir,
};

beforeAll(async () => {
  if (skipReason !== "") return;
  project = makeProject();
  compile(
    project,
    examples.map(({ path }) => path),
    { lib: ["ES2022"], types: ["node"] },
  );
  const reference = missingReference();
  const starts = reference === "" ? [startDhow(), startDockerd()] : [startDhow()];
  for (const engine of await Promise.all(starts)) engines[engine.name] = engine;
  const archive = Bun.file(await busyboxArchive());
  for (const { host } of Object.values(engines)) {
    const unix = host.slice("unix://".length);
    await (await fetch("http://localhost/images/load?quiet=1", { method: "POST", body: archive, unix })).text();
  }
}, START_MS);

afterAll(async () => {
  if (skipReason !== "") return;
  await Promise.all(Object.values(engines).map((engine) => engine[Symbol.asyncDispose]()));
  project[Symbol.dispose]();
}, START_MS);

async function output({ command, cwd }: Runtime, path: string, host: string): Promise<string> {
  const env = { ...process.env, DOCKER_HOST: host, DHOW_HOST: "", DOCKER_TLS_VERIFY: "", DENO_NO_UPDATE_CHECK: "1" };
  const child = Bun.spawn([...command(path)], { cwd: cwd(), env, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr, exitCode] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (exitCode !== 0) throw new Error(`${path} ended with ${exitCode}\n${stdout}${stderr}`);
  expect(stderr).toBe("");
  return normalised(stdout);
}

describe.each([
  ["dhow", bun],
  ["dhow", node],
  ["dhow", deno],
  ["dockerd", node],
] as const)("with %s", (name, runtime) => {
  const reason = runtime.skipReason || (name === "dockerd" ? missingReference() : "");
  for (const { path, output: expected } of examples) {
    const title = `${runtime.name} runs ${path}`;
    if (reason !== "") test.skip(`${title} (${reason})`, () => {});
    else
      test(title, async () => {
        expect(await output(runtime, path, engines[name]?.host ?? "")).toBe(expected);
      });
  }
});
