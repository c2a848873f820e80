/** The npm package: what is in it, and that its types hold for whoever uses it. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { compile, makeProject, type Project, run } from "./package.ts";

let project: Project;

beforeAll(() => {
  project = makeProject();
}, 60_000);

afterAll(() => project[Symbol.dispose]());

/** Everything that a module of the package loads, by static imports. */
function graph(entry: string): ReadonlySet<string> {
  const found = new Set<string>();
  const visit = (path: string): void => {
    if (found.has(path)) return;
    found.add(path);
    if (!path.startsWith("lib/")) return;
    const text = readFileSync(join(project.dir, "node_modules/dhow", path), "utf8");
    for (const [, from, at] of text.matchAll(/^(?:import|export)\b[^;"']*?from "([^"]+)"|\bimport\("([^"]+)"\)/gm)) {
      const name = from ?? at ?? "";
      visit(name.startsWith(".") ? join(path, "..", name) : name);
    }
  };
  visit(entry);
  return found;
}

test("holds the modules with their types, a README, a license, and nothing else", () => {
  const others = project.files.filter((path) => !/^lib\/[\w/.-]+\.(d\.ts|js)$/.test(path));
  expect(others.sort()).toEqual(["LICENSE", "README.md", "package.json"]);
  expect(project.files.filter((path) => path.includes(".test."))).toEqual([]);
});

test("the client needs nothing but Node's own modules", () => {
  const names = [...graph("lib/index.js")].filter((name) => !name.startsWith("lib/"));
  expect(names.filter((name) => !name.startsWith("node:"))).toEqual([]);
  expect([...graph("lib/index.js")].filter((name) => /^lib\/(engine|linux|server|cli)\//.test(name))).toEqual([]);
});

test("Bun finds the engine in it", () => {
  writeFileSync(
    join(project.dir, "embed.ts"),
    'import { connect, embed } from "dhow/embed";\nconsole.log(typeof embed, typeof connect);\n',
  );
  expect(run([process.execPath, "--no-env-file", "--config=/dev/null", "embed.ts"], project.dir)).toBe("function function\n");
});

test("npm would publish it", () => {
  const [published] = [
    JSON.parse(run(["npm", "publish", "--dry-run", "--json", "--offline", join(project.dir, "built")], project.dir)),
  ].flat();
  expect(JSON.stringify(published)).toContain('"dhow@0.1.0"');
});

const consumer = `
import { connect, type ContainerInspectResponse, type Dhow, DhowError, ExecError } from "dhow";
import { embed } from "dhow/embed";
export const embedded: Promise<Dhow> = embed({ dataRoot: "/a", execRoot: "/b", settings: { bridge: "none" } });
export async function use(): Promise<number> {
  const dhow = connect({ host: "tcp://localhost:2376", tls: { isVerified: false } });
  const box = await dhow.containers.run({ image: "busybox", ports: ["8080:80", { container: 53, protocol: "udp" }], signal: AbortSignal.timeout(1) });
  for await (const event of box.exec(["ls"])) if (event.kind === "exit") return event.exitCode;
  const inspected: ContainerInspectResponse = await box.inspect();
  const { n } = await box.exec("x").json<{ n: number }>();
  for await (const bytes of dhow.images.save("x")) console.log(bytes.length, inspected.Id, n);
  // @ts-expect-error an image is needed
  await dhow.containers.run({ command: "ls" });
  return box.exec("x").text().then(() => 0, (error: unknown) => (error instanceof ExecError ? error.exitCode : error instanceof DhowError && error.kind === "notFound" ? 1 : 2));
}
`;

test.each([
  ["Node's types", { lib: ["ES2022"], types: ["node"] }],
  ["Bun's types", { lib: ["ESNext"], types: ["bun"] }],
  ["the browser's types", { lib: ["ES2022", "DOM"], types: [] }],
])("type-checks whole, with %s", (_, options) => {
  writeFileSync(join(project.dir, "consumer.ts"), consumer);
  compile(project, ["consumer.ts"], options);
});
