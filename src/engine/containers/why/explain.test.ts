import { expect, test } from "bun:test";
import { type ContainerState, INITIAL_STATE } from "../container.ts";
import { explain, type Facts } from "./explain.ts";

function facts(state: Partial<ContainerState>, more: Partial<Facts> = {}): Facts {
  return {
    name: "web",
    state: { ...INITIAL_STATE, status: "exited", startedAt: "2026-01-02T03:04:05Z", finishedAt: "2026-01-02T03:04:07.5Z", ...state },
    command: "server",
    memoryLimit: 0,
    fileLimit: 1024,
    stopSignal: 15,
    restartPolicy: "no",
    architecture: "amd64",
    program: undefined,
    log: [],
    portHolder: undefined,
    ...more,
  };
}

const causes = (state: Partial<ContainerState>, more: Partial<Facts> = {}): string[] =>
  explain(facts(state, more)).map(({ Cause }) => Cause);
const first = (state: Partial<ContainerState>, more: Partial<Facts> = {}) => explain(facts(state, more))[0];

test("explain() says that there is nothing to explain", () => {
  expect(first({ exitCode: 0 })?.Text).toBe("Its program ended by itself, without an error, after 2.5s.");
  expect(causes({ status: "running" })).toEqual(["running"]);
  expect(causes({ status: "created" })).toEqual(["created"]);
});

test("explain() shows the log's end of a program that failed by itself", () => {
  expect(first({ exitCode: 3 }, { log: ["1", "2", "3", "4", "5", "fatal: no config"] })).toEqual({
    Cause: "failed",
    Text: "Its program ended by itself with exit code 3, after 2.5s.",
    Evidence: ["2", "3", "4", "5", "fatal: no config"],
    Advice: "",
  });
});

test("explain() has the numbers of an out-of-memory kill, and no second opinion on its signal", () => {
  const memoryAtOom = { usageBytes: 64 << 20, limitBytes: 64 << 20, peakBytes: 64 << 20 };
  const found = explain(facts({ exitCode: 137, oomKilled: true, memoryAtOom }, { memoryLimit: 64 << 20 }));
  expect(found.map(({ Cause }) => Cause)).toEqual(["out-of-memory"]);
  expect(found[0]?.Evidence).toEqual(["in use when the kernel killed: 64MiB, at most before: 64MiB", "limit: 64MiB", "exit code 137"]);
  expect(found[0]?.Advice).toContain("--memory 128m");
});

test("explain() tells signals that clients asked for from others", () => {
  const lastSignal = { signal: 9, by: "stop", at: "2026-01-02T03:04:07Z" } as const;
  expect(first({ exitCode: 137, lastSignal })).toMatchObject({
    Cause: "signal",
    Advice: expect.stringContaining("did not end in time after SIGTERM"),
  });
  expect(first({ exitCode: 143, lastSignal: { ...lastSignal, signal: 15, by: "restart" } })?.Text).toBe(
    "It ended by SIGTERM, which came from a request to restart it (docker restart).",
  );
  expect(first({ exitCode: 137 })?.Text).toContain("no client of this engine sent it");
  expect(first({ exitCode: 139 })?.Text).toBe("It crashed with SIGSEGV: it did what the processor or the kernel does not allow.");
  expect(first({ exitCode: 200 })?.Cause).toBe("failed");
});

test("explain() reads the log for what it gives away", () => {
  const library = "server: error while loading shared libraries: libfoo.so.1: cannot open shared object file: No such file or directory";
  expect(first({ exitCode: 127 }, { log: [library] })).toMatchObject({
    Cause: "library",
    Text: "Its program needs libfoo.so.1, which the image does not have.",
  });
  expect(first({ exitCode: 1 }, { log: ["accept: Too many open files"] })).toMatchObject({
    Cause: "descriptors",
    Text: expect.stringContaining("1024"),
  });
  expect(first({ exitCode: 127 }, { log: ["sh: foo: not found"] })?.Cause).toBe("not-found");
  expect(first({ exitCode: 126 }, { log: ["sh: /x: Permission denied"] })?.Cause).toBe("not-executable");
  expect(causes({ exitCode: 0 }, { log: ["accept: Too many open files"] })).toEqual(["ended"]);
});

test("explain() finds out why a program can't be started", () => {
  const state = { status: "created", exitCode: 127, error: "exec: no such file or directory" } as const;
  const elf = (architecture: string, interpreter?: string) => ({ architecture, interpreter });
  const cases: readonly (readonly [Facts["program"], string, string])[] = [
    [{ kind: "missing", path: "server", searched: ["/bin/server", "/usr/bin/server"] }, "not-found", 'the image has no program "server"'],
    [
      { kind: "script", path: "/run.sh", interpreter: "/bin/bash", hasInterpreter: false, endsInReturn: false },
      "interpreter",
      "a script for /bin/bash",
    ],
    [
      { kind: "script", path: "/run.sh", interpreter: "/bin/sh", hasInterpreter: false, endsInReturn: true },
      "interpreter",
      "carriage return",
    ],
    [
      { kind: "elf", path: "/server", elf: elf("arm64"), hasInterpreter: true },
      "architecture",
      "made for arm64, and this machine is amd64",
    ],
    [
      { kind: "elf", path: "/server", elf: elf("amd64", "/lib64/ld-linux-x86-64.so.2"), hasInterpreter: false },
      "interpreter",
      "needs the loader /lib64/ld-linux",
    ],
    [{ kind: "directory", path: "/srv" }, "not-executable", "/srv is a directory"],
    [{ kind: "no permission", path: "/srv/x" }, "not-executable", "/srv/x is not executable"],
    [{ kind: "unknown", path: "/data" }, "not-executable", "is no program"],
  ];
  for (const [program, cause, text] of cases) {
    expect(first(state, { program })).toMatchObject({
      Cause: cause,
      Text: expect.stringContaining(text),
      Evidence: expect.arrayContaining([state.error]),
    });
  }
  expect(first(state, { program: undefined })?.Cause).toBe("runtime");
});

test("explain() names who has a port", () => {
  const error =
    "driver failed programming external connectivity on endpoint web (x): Bind for 0.0.0.0:80 failed: port is already allocated";
  expect(first({ status: "created", error }, { portHolder: "The container proxy" })?.Text).toBe(
    "It could not start: a port that it publishes is taken. The container proxy has it.",
  );
});

test("explain() adds health and restarts", () => {
  const health = { status: "unhealthy", failingStreak: 3, log: [{ Start: "t", End: "t", ExitCode: 1, Output: "refused\n" }] } as const;
  expect(first({ status: "running", health })).toMatchObject({ Cause: "health", Evidence: ["t: exit code 1: refused"] });
  expect(causes({ status: "restarting", exitCode: 1, restartCount: 4 }, { restartPolicy: "always" })).toEqual(["failed", "restarts"]);
});
