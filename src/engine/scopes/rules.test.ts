import { expect, test } from "bun:test";
import { Access, parseRule } from "./rules.ts";

test("parseRule() reads nouns, verbs and a label", () => {
  expect(parseRule("containers:read,create label=ci")).toEqual([
    { noun: "containers", verbs: new Set(["read", "create"]), label: { key: "ci", value: undefined } },
  ]);
  expect(() => parseRule(" volumes:*   label=a/b=x=y ")).toThrow("letters, digits");
  expect(parseRule(" volumes:*   label=a/b=x-y ")[0]?.verbs).toEqual(new Set(["read", "create", "remove", "prune"]));
});

test("parseRule() gives * what each noun has", () => {
  const rules = parseRule("*:read label=ci=1");
  expect(rules.map(({ noun, label }) => [noun, label?.value])).toEqual([
    ["containers", "1"],
    ["images", "1"],
    ["volumes", "1"],
    ["networks", "1"],
    ["system", undefined],
    ["leases", undefined],
  ]);
});

test.each([
  ["", "want NOUN:VERB"],
  ["containers", "want NOUN:VERB"],
  ["containers:", "want NOUN:VERB"],
  ["containers:read:x", "want NOUN:VERB"],
  ["pods:read", "no such noun: pods"],
  ["toString:read", "no such noun: toString"],
  ["containers:fly", "no such verb: fly"],
  ["images:exec", "no such verb: exec"],
  ["containers:read label=a label=b", "one label at most"],
  ["containers:read name=a", "want label=KEY"],
  ['containers:read label=a="', "letters, digits"],
  ["containers:read label=$x", "letters, digits"],
  ["containers:read label=dhow.socket", "the engine's own"],
  ["containers:read label=name", "the engine's own"],
  ["system:read label=ci", "system have no labels"],
])("parseRule(%j) is refused: %s", (text, why) => {
  expect(() => parseRule(text)).toThrow(why);
});

const access = new Access("s", [
  "containers:read,create label=ci=1",
  "containers:read label=shared",
  "images:read",
  "volumes:create label=any",
]);

test("only what a rule's label fits is seen", () => {
  expect(access.sees("containers", { ci: "1" })).toBe(true);
  expect(access.sees("containers", { shared: "" })).toBe(true);
  for (const labels of [null, undefined, {}, { ci: "2" }, { other: "1" }]) expect(access.sees("containers", labels)).toBe(false);
  expect(access.sees("images", null)).toBe(true);
  expect(access.sees("networks", { ci: "1" })).toBe(false);
});

test("a verb is allowed for the objects of the rule that has it", () => {
  access.requireOn("containers", "create", { ci: "1" });
  expect(() => access.requireOn("containers", "create", { shared: "" })).toThrow(
    "socket s does not allow containers:create of this object",
  );
  expect(() => access.require("containers", "remove")).toThrow("socket s does not allow containers:remove");
  expect(() => access.require("networks", "read")).toThrow("socket s does not allow networks:read");
});

test("what is new gets the rule's label, and no other value of it", () => {
  expect(access.labelsOfNew("containers", { a: "b" })).toEqual({ ci: "1" });
  expect(access.labelsOfNew("containers", { ci: "1" })).toEqual({ ci: "1" });
  expect(() => access.labelsOfNew("containers", { ci: "2" })).toThrow("socket s does not allow the label ci=2");
  expect(access.labelsOfNew("volumes", null)).toEqual({ any: "" });
  expect(access.labelsOfNew("volumes", { any: "mine" })).toEqual({ any: "mine" });
  expect(() => access.labelsOfNew("networks", null)).toThrow("socket s does not allow networks:create");
});

test("the label that all visible objects have", () => {
  expect(new Access("s", ["containers:read label=ci=1", "containers:create label=ci=1"]).commonLabel("containers")).toBe("ci=1");
  expect(new Access("s", ["containers:read label=ci"]).commonLabel("containers")).toBe("ci");
  for (const rules of [
    ["images:read"],
    ["containers:read"],
    ["containers:read label=ci", "containers:read"],
    ["containers:read label=a", "containers:read label=a=1"],
  ]) {
    expect(new Access("s", rules).commonLabel("containers")).toBeUndefined();
  }
});
