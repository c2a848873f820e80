import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { errorKind } from "../lib/mod.ts";
import { authBody, containerCreateBody, containerUpdateBody, execCreateBody, volumeCreateBody } from "./bodies.ts";
import { decodeJson, type GoType } from "./go-json.ts";

function failure(text: string, type: GoType = containerCreateBody): string {
  try {
    decodeJson(text, type);
  } catch (error) {
    expect(errorKind(error)).toBe("invalid");
    return (error as Error).message;
  }
  return "decoded";
}

describe("decodeJson() says what Go 1.26 says", () => {
  // each right side was printed by encoding/json for the same text and the same types
  const mismatches: readonly (readonly [string, string])[] = [
    ['{"HostConfig":{"Memory":"x"}}', "string into Go struct field HostConfig.HostConfig.Resources.Memory of type int64"],
    ['{"HostConfig":{"Memory":1.5}}', "number 1.5 into Go struct field HostConfig.HostConfig.Resources.Memory of type int64"],
    [
      '{"HostConfig":{"BlkioWeight":70000}}',
      "number 70000 into Go struct field HostConfig.HostConfig.Resources.BlkioWeight of type uint16",
    ],
    ['{"HostConfig":{"BlkioWeight":-1}}', "number -1 into Go struct field HostConfig.HostConfig.Resources.BlkioWeight of type uint16"],
    ['{"HostConfig":{"PidsLimit":"a"}}', "string into Go struct field HostConfig.HostConfig.Resources.PidsLimit of type int64"],
    ['{"HostConfig":{"Ulimits":[{"Soft":"a"}]}}', "string into Go struct field Ulimit.HostConfig.Resources.Ulimits.Soft of type int64"],
    ['{"HostConfig":{"Ulimits":{}}}', "object into Go struct field HostConfig.HostConfig.Resources.Ulimits of type []*container.Ulimit"],
    ['{"HostConfig":[]}', "array into Go struct field CreateRequest.HostConfig of type container.HostConfig"],
    ['{"HostConfig":true}', "bool into Go struct field CreateRequest.HostConfig of type container.HostConfig"],
    ['{"HostConfig":{"Binds":"a"}}', "string into Go struct field HostConfig.HostConfig.Binds of type []string"],
    ['{"HostConfig":{"Binds":[1]}}', "number into Go struct field HostConfig.HostConfig.Binds of type string"],
    ['{"HostConfig":{"Mounts":[{"Source":1}]}}', "number into Go struct field Mount.HostConfig.Mounts.Source of type string"],
    [
      '{"HostConfig":{"PortBindings":{"80/tcp":[{"HostPort":80}]}}}',
      "number into Go struct field PortBinding.HostConfig.PortBindings.HostPort of type string",
    ],
    ['{"HostConfig":{"Privileged":1}}', "number into Go struct field HostConfig.HostConfig.Privileged of type bool"],
    ['{"hostname":1}', "number into Go struct field CreateRequest.Config.Hostname of type string"],
    ['{"Env":{"a":1}}', "object into Go struct field CreateRequest.Config.Env of type []string"],
    ['{"Tty":"true"}', "string into Go struct field CreateRequest.Config.Tty of type bool"],
    ['{"Labels":["a"]}', "array into Go struct field CreateRequest.Config.Labels of type map[string]string"],
    ['{"Cmd":{"a":1}}', "object into Go struct field CreateRequest.Config.Cmd of type string"],
    ['{"Cmd":[1]}', "array into Go struct field CreateRequest.Config.Cmd of type string"],
    ['{"ExposedPorts":{"80/tcp":1}}', "number into Go struct field CreateRequest.Config.ExposedPorts of type struct {}"],
    ['{"ExposedPorts":["80"]}', "array into Go struct field CreateRequest.Config.ExposedPorts of type map[string]struct {}"],
    ["[]", "array into Go value of type container.CreateRequest"],
    ['"x"', "string into Go value of type container.CreateRequest"],
    ["5", "number into Go value of type container.CreateRequest"],
    ['{"HostConfig":{"Memory":1,"memory":"y"}}', "string into Go struct field HostConfig.HostConfig.Resources.Memory of type int64"],
    ['{"HostConfig":{"Memory":"y"},"Tty":5}', "string into Go struct field HostConfig.HostConfig.Resources.Memory of type int64"],
  ];
  for (const [text, expected] of mismatches) {
    test(`of a wrong type: ${text}`, () => expect(failure(text)).toBe(`invalid JSON: json: cannot unmarshal ${expected}`));
  }

  const syntax: readonly (readonly [string, string])[] = [
    ["", "got EOF while reading request body"],
    [" \n", "got EOF while reading request body"],
    ["{", "unexpected EOF"],
    ['{"a"', "unexpected EOF"],
    ['{"a":"', "unexpected EOF"],
    ["nul", "unexpected EOF"],
    ['{"a":}', "invalid character '}' looking for beginning of value"],
    ["{a:1}", "invalid character 'a' looking for beginning of object key string"],
    ['{"a":1,}', "invalid character '}' looking for beginning of object key string"],
    ['{"a":tru}', "invalid character '}' in literal true (expecting 'e')"],
    ["xx", "invalid character 'x' looking for beginning of value"],
    [`{"a":'b'}`, "invalid character '\\'' looking for beginning of value"],
    ['{"a":"b\nc"}', "invalid character '\\n' in string literal"],
    ['{"a":01}', "invalid character '1' after object key:value pair"],
    ['{"a":1.}', "invalid character '}' after decimal point in numeric literal"],
    ['{"a":"\\x"}', "invalid character 'x' in string escape code"],
    ['{"a":"\\u12"}', "invalid character '\"' in \\u hexadecimal character escape"],
    ['{"a":-}', "invalid character '}' in numeric literal"],
    ['{"a" 1}', "invalid character '1' after object key"],
    ["[1 2]", "invalid character '2' after array element"],
    ['{"a":1 "b":2}', "invalid character '\"' after object key:value pair"],
  ];
  for (const [text, expected] of syntax) {
    test(`of no JSON: ${JSON.stringify(text)}`, () => expect(failure(text)).toBe(`invalid JSON: ${expected}`));
  }

  test("of trailing data", () => {
    expect(failure('{"Image":"a"} x')).toBe("unexpected content after JSON");
    expect(failure('{"Image":"a"}{"Image":"b"}')).toBe("unexpected content after JSON");
    expect(failure('{"Image":"a"} \n')).toBe("decoded");
  });

  test("of nesting without end", () => expect(failure("[".repeat(100_000))).toBe("invalid JSON: exceeded max depth"));
});

describe("decodeJson()", () => {
  test("takes keys in any case, drops unknown ones and nulls", () => {
    const { value } = decodeJson('{"image":"b","TTY":true,"Bogus":1,"Env":null,"Labels":{"a":null}}', containerCreateBody);
    expect(value).toEqual({ Image: "b", Tty: true, Labels: { a: "" } });
  });

  test("takes one string for a command", () => {
    expect(decodeJson('{"Cmd":"ls","Entrypoint":[]}', containerCreateBody).value).toEqual({ Cmd: ["ls"], Entrypoint: [] });
  });

  test("keeps limits at the edge of int64", () => {
    const { value } = decodeJson('{"HostConfig":{"Ulimits":[{"Name":"core","Soft":-1,"Hard":9223372036854775807}]}}', containerCreateBody);
    expect(value).toEqual({ HostConfig: { Ulimits: [{ Name: "core", Soft: -1, Hard: 2 ** 63 }] } });
  });

  test("tells whether there was a configuration", () => {
    expect(decodeJson("{}", containerCreateBody).seen.has("Config")).toBe(false);
    expect(decodeJson('{"HostConfig":{"Memory":1}}', containerCreateBody).seen.has("Config")).toBe(false);
    expect(decodeJson('{"tty":null}', containerCreateBody).seen.has("Config")).toBe(true);
  });

  test("takes __proto__ for a key like any other", () => {
    const { value } = decodeJson('{"Labels":{"__proto__":"x"},"__proto__":{"Image":"a"}}', containerCreateBody);
    expect(Object.keys(value)).toEqual(["Labels"]);
    expect(JSON.stringify(value)).toBe('{"Labels":{"__proto__":"x"}}');
  });

  test("decodes other bodies", () => {
    expect(decodeJson('{"Cmd":["a"],"cmd":["b"]}', execCreateBody).value).toEqual({ Cmd: ["b"] });
    expect(decodeJson("null", execCreateBody).value).toEqual({});
  });
});

describe("decodeJson() reads numbers as Go does", () => {
  const memory = (text: string): string => failure(`{"HostConfig":{"Memory":${text}}}`);
  for (const text of ["1e3", "1.0", "1E+2", "9223372036854775808", "-9223372036854775809", "1e400", "0.5"]) {
    test(`${text} is no int64`, () =>
      expect(memory(text)).toBe(
        `invalid JSON: json: cannot unmarshal number ${text} into Go struct field HostConfig.HostConfig.Resources.Memory of type int64`,
      ));
  }
  for (const text of ["0", "-0", "9223372036854775807", "-9223372036854775808", "123456789012345678"]) {
    test(`${text} is one`, () => expect(memory(text)).toBe("decoded"));
  }
  test("text is no number", () =>
    expect(decodeJson('{"Image":"v1.0","Cmd":["1e3","-0"]}', containerCreateBody).value["Image"]).toBe("v1.0"));
  test("an unsigned number has no sign", () => expect(failure('{"HostConfig":{"BlkioWeight":-0}}')).toContain("number -0 into"));
});

test("decodeJson() leaves out a null among pointers", () => {
  const { value } = decodeJson('{"HostConfig":{"Ulimits":[null,{"Name":"core"}],"Devices":[null]}}', containerCreateBody);
  expect(value).toEqual({ HostConfig: { Ulimits: [{ Name: "core" }], Devices: [{}] } });
});

test("decodeJson() throws nothing but what Go says, whatever the text", () => {
  const key = fc.constantFrom("Image", "image", "HostConfig", "hostconfig", "Memory", "Ulimits", "Labels", "Cmd", "__proto__", "x");
  const scalar = fc.oneof(fc.constantFrom("null", "true", "1", "-0", "1e3", "1.5", "9223372036854775808", '"s"', "{}", "[]"), fc.json());
  const { json } = fc.letrec((tie) => ({
    json: fc.oneof({ depthSize: "small", withCrossShrink: true }, scalar, tie("object"), tie("array")),
    array: fc.array(tie("json"), { maxLength: 3 }).map((items) => `[${items.join(",")}]`),
    object: fc
      .array(fc.tuple(key, tie("json")), { maxLength: 4 })
      .map((members) => `{${members.map(([name, item]) => `${JSON.stringify(name)}:${item}`).join(",")}}`),
  }));
  const cut = fc.tuple(json.map(String), fc.nat(), fc.string({ maxLength: 2 })).map(([text, at, more]) => {
    const place = at % (text.length + 1);
    return text.slice(0, place) + more + text.slice(place);
  });
  fc.assert(
    fc.property(fc.oneof(json.map(String), cut, fc.string()), (text) => {
      for (const type of [containerCreateBody, containerUpdateBody, execCreateBody, volumeCreateBody, authBody]) {
        let isJson = true;
        try {
          JSON.parse(text);
        } catch {
          isJson = false;
        }
        const said = failure(text, type);
        if (!isJson) expect(said).not.toBe("decoded");
        else if (said !== "decoded") expect(said).toStartWith("invalid JSON: json: cannot unmarshal ");
      }
    }),
    { interruptAfterTimeLimit: 2_000, numRuns: 2_000 },
  );
});
