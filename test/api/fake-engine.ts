import { DhowError } from "../../src/lib/mod.ts";
import type { AttachSession, EngineApi, EventMessage, OutputChunk } from "../../src/spec/engine/mod.ts";

/** A call that a fake engine got: `containers.stop`, and its arguments. */
export interface Call {
  readonly method: string;
  readonly args: readonly unknown[];
}

export interface FakeEngine {
  readonly api: EngineApi;
  readonly calls: Call[];
}

type Answers = { readonly [method: string]: (...args: never[]) => unknown };

/** An engine without containers for tests of the HTTP layer: it notes every call and answers what the test gives it. */
export function fakeEngine(answers: Answers = {}): FakeEngine {
  const calls: Call[] = [];
  const noun = (name: string): unknown =>
    new Proxy(
      {},
      {
        get: (_, verb) => {
          const method = `${name}.${String(verb)}`;
          return (...args: never[]) => {
            calls.push({ method, args });
            const answer = answers[method];
            if (answer === undefined) throw new DhowError("internal", `the fake engine has no ${method}`);
            return answer(...args);
          };
        },
      },
    );
  const nouns = [
    "containers",
    "lifecycle",
    "checkpoints",
    "streams",
    "files",
    "contents",
    "exec",
    "images",
    "transfer",
    "volumes",
    "volumeContents",
    "networks",
    "ports",
    "conditions",
    "egress",
    "system",
    "leases",
    "sockets",
  ];
  return { api: Object.fromEntries(nouns.map((name) => [name, noun(name)])) as unknown as EngineApi, calls };
}

/** A session that gives back what it gets, `echo:` before each piece, and ends when stdin does. */
export function echoSession(options: { readonly tty?: boolean; readonly onClose?: () => void } = {}): AttachSession {
  const queue: OutputChunk[] = [];
  let wake: () => void = () => {};
  let ended = false;
  return {
    tty: options.tty ?? false,
    output: (async function* () {
      for (;;) {
        const chunk = queue.shift();
        if (chunk !== undefined) yield chunk;
        else if (ended) return;
        else {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
    })(),
    write: async (data) => {
      queue.push({ stream: "stdout", data: Buffer.concat([Buffer.from("echo:"), data]) });
      wake();
    },
    closeStdin: () => {
      queue.push({ stream: "stderr", data: Buffer.from("eof") });
      ended = true;
      wake();
    },
    close: () => {
      ended = true;
      wake();
      options.onClose?.();
    },
  };
}

/** A stream of what is given, which then stays open until the signal. */
export async function* openStream<T>(values: readonly T[], signal: AbortSignal): AsyncIterable<T> {
  yield* values;
  if (!signal.aborted) await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}

export const START_EVENT: EventMessage = {
  Type: "container",
  Action: "start",
  Actor: { ID: "c1", Attributes: { image: "busybox", name: "x" } },
  scope: "local",
  time: 1,
  timeNano: 1_000_000_000,
};
