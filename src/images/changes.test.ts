import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { DhowError } from "../lib/mod.ts";
import { applyChanges } from "./changes.ts";

describe("applyChanges()", () => {
  test("knows every instruction that docker allows", () => {
    const config = applyChanges({ Env: ["A=1"] }, [
      'CMD ["sh", "-c"]',
      "ENTRYPOINT exec top",
      // biome-ignore lint/suspicious/noTemplateCurlyInString: a Dockerfile's own
      'ENV A=2 B="x y" C=$A-${D:-d} E=a\\ b',
      "ENV OLD the old form",
      "EXPOSE 80 53/udp 8000-8002",
      'LABEL a=b "c d"="e"',
      "ONBUILD RUN true",
      "STOPSIGNAL SIGUSR1",
      "USER 1000:1000",
      "VOLUME /a /b",
      'VOLUME ["/c d"]',
      "WORKDIR /srv",
      "WORKDIR www/../app",
      "HEALTHCHECK --interval=5s --retries=3 CMD curl -f localhost",
    ]);
    expect(config).toEqual({
      Cmd: ["sh", "-c"],
      Entrypoint: ["/bin/sh", "-c", "exec top"],
      // The variables of one instruction see the values from before it.
      Env: ["A=2", "B=x y", "C=1-d", "E=a b", "OLD=the old form"],
      ExposedPorts: { "80/tcp": {}, "53/udp": {}, "8000/tcp": {}, "8001/tcp": {}, "8002/tcp": {} },
      Labels: { a: "b", "c d": "e" },
      OnBuild: ["RUN true"],
      StopSignal: "SIGUSR1",
      User: "1000:1000",
      Volumes: { "/a": {}, "/b": {}, "/c d": {} },
      WorkingDir: "/srv/app",
      Healthcheck: { Test: ["CMD-SHELL", "curl -f localhost"], Interval: 5_000_000_000, Retries: 3 },
    });
  });

  test("takes an inherited CMD away under a new ENTRYPOINT", () => {
    expect(applyChanges({ Cmd: ["a"] }, ['ENTRYPOINT ["b"]'])).toEqual({ Cmd: null, Entrypoint: ["b"] });
  });

  test("joins continued lines and drops comments", () => {
    expect(applyChanges({}, ["# x\nENV A=1 \\\n B=2"])).toEqual({ Env: ["A=1", "B=2"] });
  });

  const refused: readonly (readonly [string, string])[] = [
    ["FROM busybox", "FROM is not a valid change command"],
    ["run ls", "run is not a valid change command"],
    ["ENV A", "dockerfile parse error on line 1: ENV must have two arguments"],
    ["ENV", "dockerfile parse error on line 1: ENV requires at least one argument"],
    ["EXPOSE x", "dockerfile parse error on line 1: invalid containerPort: x"],
    ["EXPOSE 80/x", "dockerfile parse error on line 1: invalid proto: x"],
    ["STOPSIGNAL NOPE", "dockerfile parse error on line 1: invalid signal: NOPE"],
    ["HEALTHCHECK --interval=1us CMD x", 'dockerfile parse error on line 1: Interval "interval" cannot be less than 1ms'],
    ["ONBUILD FROM x", "dockerfile parse error on line 1: FROM isn't allowed as an ONBUILD trigger"],
    ["ENV A='x", "dockerfile parse error on line 1: unexpected end of statement while looking for matching single-quote"],
  ];
  for (const [change, message] of refused) {
    test(`refuses ${change}`, () => expect(() => applyChanges({}, [change])).toThrow(new Error(message)));
  }
});

test("applyChanges() takes any text, or says in its own words what is wrong", () => {
  const names = ["CMD", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "ONBUILD", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"];
  const parts = [
    " ",
    "[",
    "]",
    '"',
    "'",
    "\\",
    "$",
    "${A",
    "}",
    ":-",
    "a",
    "=",
    "\n",
    "#",
    "--interval=",
    "1s",
    "NONE",
    "80/tcp",
    "80-",
    ",",
    "__proto__",
  ];
  const rest = fc.oneof(
    fc.array(fc.constantFrom(...parts), { maxLength: 8 }).map((all) => all.join("")),
    fc.string(),
  );
  const change = fc.tuple(fc.constantFrom("", ...names), rest).map((pair) => pair.join(" "));
  fc.assert(
    fc.property(fc.array(change, { maxLength: 3 }), (changes) => {
      try {
        const config = applyChanges({ Env: ["A=1"] }, changes);
        for (const entry of config.Env ?? []) expect(entry).toContain("=");
      } catch (error) {
        expect(error).toBeInstanceOf(DhowError);
      }
    }),
    { interruptAfterTimeLimit: 1_500, numRuns: 5_000 },
  );
});
