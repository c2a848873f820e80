import { expect, test } from "bun:test";
import { parseChallenges } from "./challenge.ts";

for (const [header, challenges] of [
  ['Basic realm="basic-realm"', [{ scheme: "basic", parameters: { realm: "basic-realm" } }]],
  [
    'Bearer realm="https://auth.test/token",service="registry.test",scope="repository:a/b:pull,push"',
    [{ scheme: "bearer", parameters: { realm: "https://auth.test/token", service: "registry.test", scope: "repository:a/b:pull,push" } }],
  ],
  [
    'BEARER Realm = "a \\"quoted\\" one" , service=bare, Basic realm="x"',
    [
      { scheme: "bearer", parameters: { realm: 'a "quoted" one', service: "bare" } },
      { scheme: "basic", parameters: { realm: "x" } },
    ],
  ],
  ["Negotiate", [{ scheme: "negotiate", parameters: {} }]],
  ["", []],
  ["=,;", []],
] as const) {
  test(`parseChallenges(${JSON.stringify(header)})`, () => {
    expect(parseChallenges(header)).toEqual(challenges as unknown as ReturnType<typeof parseChallenges>);
  });
}
