import { describe, expect, test } from "bun:test";
import { DhowError } from "../../src/lib/mod.ts";
import type { EventMessage, OutputChunk } from "../../src/spec/engine/mod.ts";
import { echoSession, type FakeEngine, fakeEngine, openStream, START_EVENT } from "./fake-engine.ts";
import { type Serving, serve } from "./serve.ts";

const docker = Bun.which("docker");
const ID = "c".repeat(64);

/** An engine with one container that runs `cat` and exits with 3. */
function catEngine(): FakeEngine {
  const session = { ...echoSession() };
  const exit = Promise.withResolvers<{ StatusCode: number }>();
  const closeStdin = session.closeStdin;
  const attached = {
    ...session,
    closeStdin: () => {
      closeStdin();
      exit.resolve({ StatusCode: 3 });
    },
  };
  const logs = async function* (): AsyncIterable<OutputChunk> {
    yield { stream: "stdout", data: Buffer.from("out\n") };
    yield { stream: "stderr", data: Buffer.from("err\n") };
  };
  return fakeEngine({
    "containers.create": async () => ({ Id: ID, Warnings: [] }),
    "containers.inspect": async () => ({
      Id: ID,
      Name: "/cat",
      State: { Running: true },
      Config: { Tty: false, OpenStdin: true, AttachStdin: true, AttachStdout: true, AttachStderr: true },
      HostConfig: {},
    }),
    "lifecycle.start": async () => undefined,
    "lifecycle.wait": async () => ({ exit: exit.promise }),
    "streams.attach": async () => attached,
    "streams.logs": async () => ({ tty: false, output: logs() }),
    "exec.create": async () => ({ Id: "e1" }),
    "exec.start": async (_id: string, request: { Detach?: boolean }) => {
      if (request.Detach) return null;
      return echoSession();
    },
    "exec.inspect": async () => ({ ID: "e1", Running: false, ExitCode: 5 }),
    "system.version": async () => ({ Version: "9.9.9", Os: "linux", Arch: "amd64" }),
    "system.events": ({ signal }: { signal: AbortSignal }) => openStream<EventMessage>([START_EVENT], signal),
    "images.remove": async () => {
      throw new DhowError("notFound", "No such image: x:latest");
    },
  });
}

interface Ran {
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number;
}

async function run(server: Serving, args: readonly string[], stdin = ""): Promise<Ran> {
  const child = Bun.spawn([docker ?? "docker", ...args], {
    env: { ...process.env, DOCKER_HOST: `unix://${server.path}`, DOCKER_CONFIG: "/nonexistent" },
    stdin: new Blob([stdin]),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { stdout, stderr, exitCode };
}

describe.skipIf(docker === null)("the docker CLI (skipped where there is none)", () => {
  test("runs with stdin: attach, wait, exit code", async () => {
    await using server = await serve(catEngine().api);
    expect(await run(server, ["run", "-i", "busybox", "cat"], "hello\n")).toEqual({ stdout: "echo:hello\n", stderr: "eof", exitCode: 3 });
  });

  test("execs with stdin and detached", async () => {
    await using server = await serve(catEngine().api);
    expect(await run(server, ["exec", "-i", "cat", "cat"], "hello\n")).toEqual({ stdout: "echo:hello\n", stderr: "eof", exitCode: 5 });
    expect(await run(server, ["exec", "-d", "cat", "true"])).toEqual({ stdout: "", stderr: "", exitCode: 0 });
  });

  test("attaches, waits and reads logs", async () => {
    await using server = await serve(catEngine().api);
    const waiting = run(server, ["wait", "cat"]);
    expect(await run(server, ["attach", "cat"], "x\n")).toEqual({ stdout: "echo:x\n", stderr: "eof", exitCode: 3 });
    expect(await waiting).toEqual({ stdout: "3\n", stderr: "", exitCode: 0 });
    expect(await run(server, ["logs", "cat"])).toEqual({ stdout: "out\n", stderr: "err\n", exitCode: 0 });
  });

  test("shows the version and refusals", async () => {
    await using server = await serve(catEngine().api);
    expect((await run(server, ["version", "--format", "{{.Server.Version}}"])).stdout).toBe("9.9.9\n");
    const removed = await run(server, ["rmi", "x"]);
    expect(removed.exitCode).toBe(1);
    expect(removed.stderr).toContain("No such image: x");
    expect((await run(server, ["service", "ls"])).stderr).toContain("This node is not a swarm manager.");
  });

  test("shows events until it is stopped", async () => {
    await using server = await serve(catEngine().api);
    const child = Bun.spawn([docker ?? "docker", "events", "--format", "{{.Action}} {{.Actor.ID}}"], {
      env: { ...process.env, DOCKER_HOST: `unix://${server.path}` },
      stdout: "pipe",
      stderr: "ignore",
    });
    try {
      // the CLI writes a line in several pieces
      let line = "";
      for await (const piece of child.stdout) {
        line += new TextDecoder().decode(piece);
        if (line.endsWith("\n")) break;
      }
      expect(line).toBe("start c1\n");
    } finally {
      child.kill();
      await child.exited;
    }
  });
});
