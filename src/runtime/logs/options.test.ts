import { expect, test } from "bun:test";
import { logAttributes, validateLogOptions } from "./options.ts";

test.each([
  ["nosuch", {}, "logger: no log driver named 'nosuch' is registered"],
  ["local", { x: "1" }, "unknown log opt 'x' for log driver local"],
  ["json-file", { "max-files": "1" }, "unknown log opt 'max-files' for json-file log driver"],
  ["json-file", { "max-size": "big" }, "invalid size: 'big'"],
  ["json-file", { "max-size": "0" }, "max-size must be a positive number"],
  ["json-file", { "max-file": "0" }, "max-file cannot be less than 1"],
  ["json-file", { compress: "true" }, "compress cannot be true when max-file is less than 2 or max-size is not set"],
  ["local", { mode: "fast" }, "logger: logging mode not supported: fast"],
  ["local", { "max-buffer-size": "1m" }, "logger: max-buffer-size option is only supported with 'mode=non-blocking'"],
])("%s with %p is refused in docker's words", (driver, options, message) => {
  expect(() => validateLogOptions(driver, options)).toThrow(message);
});

test("good options are taken", () => {
  validateLogOptions("local", { "max-size": "10m", "max-file": "3", compress: "false", mode: "non-blocking", "max-buffer-size": "4m" });
  validateLogOptions("json-file", { "max-size": "10k", "max-file": "2", compress: "true", labels: "a,b", tag: "x" });
  validateLogOptions("none", { whatever: "1" });
});

test("logAttributes() chooses labels, variables and the tag", () => {
  const subject = {
    id: "0123456789abcdef",
    name: "web",
    imageId: "sha256:aabbccddeeff0011",
    imageName: "nginx",
    labels: { a: "1", b: "2" },
    env: ["X=y", "LONG=a=b"],
  };
  expect(logAttributes({ labels: "a", "env-regex": "^L", tag: "{{.Name}}/{{.ID}}" }, subject)).toEqual({
    a: "1",
    LONG: "a=b",
    tag: "web/0123456789ab",
  });
});
