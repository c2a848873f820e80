import { expect, test } from "bun:test";
import fc from "fast-check";
import { DhowError } from "../../lib/mod.ts";
import { logAttributes, logTag } from "./attributes.ts";
import { validateLogOptions } from "./options.ts";

const SUBJECT = {
  id: "0123456789abcdef",
  name: "web",
  imageId: "sha256:aabbccddeeff0011",
  imageName: "nginx",
  command: ["nginx", "-g"],
  created: "2024-01-01T00:00:00Z",
  hostname: "box",
  labels: { a: "1", b: "2" },
  env: ["X=y", "LONG=a=b"],
};

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
  ["local", { "cache-disabled": "maybe" }, "invalid value for option cache-disabled: maybe"],
  ["syslog", { x: "1" }, "unknown log opt 'x' for syslog log driver"],
  ["syslog", { "syslog-address": "ftp://a" }, "unsupported scheme: 'ftp'"],
  ["syslog", { "syslog-address": "127.0.0.1:514" }, 'parse "127.0.0.1:514": first path segment in URL cannot contain colon'],
  ["syslog", { "syslog-address": "tcp://a:b" }, 'parse "tcp://a:b": invalid port ":b" after host'],
  ["syslog", { "syslog-address": "tcp://h:1:2" }, "address h:1:2: too many colons in address"],
  ["gelf", { "gelf-address": "udp://h:1:2" }, "gelf: please provide gelf-address as proto://host:port"],
  ["syslog", { "syslog-address": "unix:///nowhere" }, "stat /nowhere: no such file or directory"],
  ["syslog", { "syslog-facility": "24" }, "invalid syslog facility"],
  ["syslog", { "syslog-format": "rfc1" }, "Invalid syslog format"],
  ["syslog", { "cache-max-size": "x" }, "invalid size: 'x'"],
  ["journald", { "max-size": "1m" }, "unknown log opt 'max-size' for journald log driver"],
  ["gelf", {}, "gelf-address is a required parameter"],
  ["gelf", { "gelf-address": "http://a:1" }, "gelf: endpoint needs to be TCP or UDP"],
  ["gelf", { "gelf-address": "udp://a" }, "gelf: please provide gelf-address as proto://host:port"],
  ["gelf", { "gelf-address": "udp://a:1", x: "1" }, 'unknown log opt "x" for gelf log driver'],
  ["gelf", { "gelf-address": "tcp://a:1", "gelf-compression-type": "gzip" }, "compression is only supported on UDP"],
  ["gelf", { "gelf-address": "udp://a:1", "gelf-compression-level": "10" }, 'unknown value "10" for log opt "gelf-compression-level"'],
  ["gelf", { "gelf-address": "udp://a:1", "gelf-tcp-max-reconnect": "1" }, '"gelf-tcp-max-reconnect" is only valid for TCP'],
  ["gelf", { "gelf-address": "tcp://a:1", "gelf-tcp-reconnect-delay": "-1" }, '"gelf-tcp-reconnect-delay" must be a positive integer'],
  ["fluentd", { x: "1" }, "unknown log opt 'x' for fluentd log driver"],
  ["fluentd", { "fluentd-address": "ftp://a" }, "invalid fluentd-address (ftp://a): unsupported scheme: 'ftp'"],
  ["fluentd", { "fluentd-address": "unix://" }, "invalid fluentd-address (unix://): path is empty"],
  ["fluentd", { "fluentd-address": "tcp://a/b" }, "invalid fluentd-address (tcp://a/b): should not contain a path element"],
  [
    "fluentd",
    { "fluentd-address": "a:99999" },
    'invalid fluentd-address (a:99999): invalid port: strconv.ParseUint: parsing "99999": value out of range',
  ],
  ["fluentd", { "fluentd-async": "perhaps" }, 'strconv.ParseBool: parsing "perhaps": invalid syntax'],
  ["fluentd", { "fluentd-retry-wait": "5" }, 'time: missing unit in duration "5"'],
  ["fluentd", { "fluentd-max-retries": "-1" }, 'strconv.ParseUint: parsing "-1": invalid syntax'],
  ["fluentd", { "fluentd-max-retries": "3000000000" }, "invalid fluentd-max-retries: value out of range"],
  [
    "fluentd",
    { "fluentd-async-reconnect-interval": "11s" },
    'invalid value for fluentd-async-reconnect-interval: value ("11s") must be between 100ms and 10s',
  ],
  ["fluentd", { "fluentd-write-timeout": "-1s" }, "invalid value for fluentd-write-timeout: value must be a duration that is non-negative"],
])("%s with %p is refused in docker's words", (driver, options, message) => {
  expect(() => validateLogOptions(driver, options)).toThrow(message);
});

test("good options are taken", () => {
  validateLogOptions("local", { "max-size": "10m", "max-file": "3", compress: "false", mode: "non-blocking", "max-buffer-size": "4m" });
  validateLogOptions("json-file", { "max-size": "10k", "max-file": "2", compress: "true", labels: "a,b", tag: "x" });
  validateLogOptions("none", { whatever: "1" });
  validateLogOptions("syslog", {
    "syslog-address": "udp://host",
    "syslog-facility": "local7",
    "cache-max-size": "1m",
    "cache-disabled": "0",
  });
  validateLogOptions("fluentd", { "fluentd-address": "host", "fluentd-async-reconnect-interval": "0", tag: "{{.ID}}" });
  validateLogOptions("gelf", {
    "gelf-address": "udp://h:1",
    "gelf-compression-level": "-1",
    mode: "non-blocking",
    "max-buffer-size": "1m",
  });
  validateLogOptions("journald", { labels: "a" });
});

test("logAttributes() chooses labels, variables and the tag", () => {
  expect(logAttributes({ labels: "a", "env-regex": "^L", tag: "{{.Name}}/{{.ID}}" }, SUBJECT)).toEqual({
    a: "1",
    LONG: "a=b",
    tag: "web/0123456789ab",
  });
});

test.each([
  ["{{.Name}}-{{.FullID}}", "web-0123456789abcdef"],
  ["{{.ImageName | upper}}", "NGINX"],
  ["{{.Command}} on {{.Hostname}}", "nginx -g on box"],
  ["{{truncate .ImageFullID 10}}", "sha256:aab"],
  ['{{.DaemonName}}/{{index .ContainerLabels "a"}}', "docker/1"],
  ["", "0123456789ab"],
  ["plain", "plain"],
])("the tag %p", (tag, expected) => {
  expect(logTag({ tag }, SUBJECT)).toBe(expected);
});

test("a tag that is no template is refused in Go's words", () => {
  expect(() => logTag({ tag: "{{.Name" }, SUBJECT)).toThrow("template: log-tag:1:");
  expect(() => logTag({ tag: "{{.Nope}}" }, SUBJECT)).toThrow("can't evaluate field Nope in type *logger.Info");
});

test.each([
  ["[", "missing closing ]: `[`"],
  ["(a", "missing closing ): `(a`"],
  ["*", "missing argument to repetition operator: `*`"],
])("the expression %p is refused in Go's words", (pattern, message) => {
  expect(() => logAttributes({ "labels-regex": pattern }, SUBJECT)).toThrow(`error parsing regexp: ${message}`);
});

test("expressions may be written as Go's", () => {
  expect(logAttributes({ "env-regex": "(?i)^long$", "labels-regex": "^(?P<first>a)\\z" }, SUBJECT)).toEqual({ a: "1", LONG: "a=b" });
});

test("validateLogOptions() takes any text, or says in its own words what is wrong", () => {
  const keys = fc.constantFrom(
    ...["max-size", "max-file", "compress", "mode", "max-buffer-size", "labels-regex", "env-regex", "tag", "cache-disabled"],
    ...[
      "syslog-address",
      "syslog-facility",
      "syslog-format",
      "gelf-address",
      "gelf-compression-level",
      "fluentd-address",
      "fluentd-retry-wait",
    ],
  );
  const part = fc.constantFrom(
    "1",
    "m",
    "-",
    "true",
    "x",
    "tcp://",
    "unix://",
    ":",
    "127.0.0.1",
    "/",
    "%",
    "[",
    "{{",
    "}}",
    ".ID",
    "(",
    "*",
    "y".repeat(300),
  );
  const value = fc.oneof(
    fc.array(part, { maxLength: 5 }).map((parts) => parts.join("")),
    fc.string(),
  );
  const driver = fc.constantFrom("json-file", "local", "syslog", "gelf", "fluentd", "journald", "none", "");
  fc.assert(
    fc.property(driver, fc.dictionary(keys, value, { maxKeys: 3 }), (name, options) => {
      try {
        validateLogOptions(name, options);
      } catch (error) {
        expect(error).toBeInstanceOf(DhowError);
      }
    }),
    { interruptAfterTimeLimit: 1_500, numRuns: 5_000 },
  );
});
