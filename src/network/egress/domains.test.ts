import { expect, test } from "bun:test";
import { allowsName } from "./domains.ts";

test("a name is allowed by itself, and everything below a *. but not what that is of", () => {
  const policy = { domains: ["example.org", "*.example.net"] };
  for (const name of ["example.org", "a.example.net", "a.b.example.net"]) expect(allowsName(policy, name)).toBe(true);
  for (const name of ["www.example.org", "example.net", "notexample.net", ".example.net", "example.org.evil.test", ""]) {
    expect(allowsName(policy, name)).toBe(false);
  }
});
