import { errorMessage } from "../../../lib/mod.ts";
import type { ContainerCreateRequest, ContainerWaitResponse } from "../../../spec/engine/mod.ts";
import { command, ExitError, minArgs } from "../../command.ts";
import { CONTAINER_FLAGS } from "../../container/container-flags.ts";
import { type ContainerFlags, containerRequest } from "../../container/container-request.ts";
import { checkPull, createContainer } from "../../container/create-container.ts";
import { checkPlatform } from "../../container/platform.ts";
import { startExitCode } from "../../container/start-error.ts";
import type { Context } from "../../context.ts";
import { errorText } from "../../error-text.ts";
import { BOOLEAN, STRING } from "../../flag-kinds.ts";
import { orSetting, proxyVariables } from "../../settings.ts";
import { followSize, runSession, type SessionEnd } from "../../terminal/session.ts";
import { proxySignals } from "../../terminal/signals.ts";
import { isStdinTerminal } from "../../terminal/stdin.ts";

const EXIT_USAGE = 125;

interface RunFlags extends ContainerFlags {
  readonly detach: boolean;
  readonly "detach-keys": string;
  readonly "sig-proxy": boolean;
}

function withHelp(ctx: Context, error: unknown, code = EXIT_USAGE): ExitError {
  if (error instanceof ExitError) return error;
  return new ExitError(code, `${ctx.name}: ${errorText(error)}\n\nRun '${ctx.name} ${ctx.path} --help' for more information`);
}

function prepare(
  ctx: Context,
  [image = "", ...args]: readonly string[],
  flags: RunFlags,
  changed: ReadonlySet<string>,
): ContainerCreateRequest {
  try {
    checkPull(flags.pull);
    checkPlatform(flags.platform, "error parsing specified platform");
    return containerRequest({ flags, changed, image, args, isDetached: flags.detach, proxies: proxyVariables(ctx, flags.env) });
  } catch (error) {
    throw withHelp(ctx, error);
  }
}

/** Streams that are attached, and what follows the container's end. */
interface Attached {
  readonly session: Promise<SessionEnd>;
  readonly exit: Promise<ContainerWaitResponse>;
}

async function attach(ctx: Context, id: string, request: ContainerCreateRequest, flags: RunFlags): Promise<Attached> {
  const { AttachStdin = false, AttachStdout = false, AttachStderr = false, Tty = false } = request;
  const keys = orSetting(ctx, "detachKeys", flags["detach-keys"]);
  const [session, { exit }] = await Promise.all([
    ctx.api.attach(id, {
      logs: false,
      stream: true,
      stdin: AttachStdin,
      stdout: AttachStdout,
      stderr: AttachStderr,
      detachKeys: keys || undefined,
      tty: Tty,
    }),
    waitFor(ctx, id, flags),
  ]);
  const ended = runSession(ctx, session, { tty: Tty, stdin: AttachStdin, detachKeys: keys });
  ended.catch(() => {});
  return { session: ended, exit };
}

function waitFor(ctx: Context, id: string, flags: RunFlags): Promise<{ readonly exit: Promise<ContainerWaitResponse> }> {
  return ctx.api.lifecycle.wait(id, flags.rm ? "removed" : "next-exit", {});
}

async function exitCode(ctx: Context, exit: Promise<ContainerWaitResponse>): Promise<number> {
  const { StatusCode = 0, Error: failure } = await exit;
  if (!failure?.Message) return StatusCode;
  ctx.warn(failure.Message);
  return EXIT_USAGE;
}

async function runAttached(ctx: Context, id: string, request: ContainerCreateRequest, flags: RunFlags): Promise<number> {
  const { lifecycle, streams } = ctx.api;
  const endProxy = flags["sig-proxy"] ? proxySignals((signal) => lifecycle.kill(id, signal)) : () => {};
  let endResize = () => {};
  try {
    const hasStreams = request.AttachStdin || request.AttachStdout || request.AttachStderr;
    const attached: Attached = hasStreams
      ? await attach(ctx, id, request, flags)
      : { session: Promise.resolve("ended"), exit: (await waitFor(ctx, id, flags)).exit };
    try {
      await lifecycle.start(id, {});
    } catch (error) {
      if (flags.rm) await attached.exit.catch(() => {});
      throw withHelp(ctx, error, startExitCode(errorMessage(error)));
    }
    if (request.Tty && hasStreams) endResize = followSize(ctx, (size) => streams.resize(id, size));
    if ((await attached.session) === "detached") return 0;
    return await exitCode(ctx, attached.exit);
  } finally {
    endResize();
    endProxy();
  }
}

export const run = command({
  use: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
  short: "Create and run a new container from an image",
  aliases: ["container run", "run"],
  args: minArgs(1),
  isInterspersed: false,
  flags: {
    ...CONTAINER_FLAGS,
    pull: { kind: STRING, initial: "missing", help: 'Pull image before running ("always", "missing", "never") (default "missing")' },
    detach: { kind: BOOLEAN, short: "d", help: "Run container in background and print container ID" },
    "detach-keys": { kind: STRING, help: "Override the key sequence for detaching a container" },
    "sig-proxy": { kind: BOOLEAN, initial: true, help: "Proxy received signals to the process (default true)" },
  },
  run: async (ctx, args, flags, changed) => {
    const base = prepare(ctx, args, flags, changed);
    if (flags.detach && flags.attach.length > 0) throw new ExitError(1, "conflicting options: cannot specify both --attach and --detach");
    if (!flags.detach && base.AttachStdin && base.Tty && !isStdinTerminal()) throw new ExitError(1, "the input device is not a TTY");
    const size = base.Tty ? ctx.stdout.size : undefined;
    const request =
      size && base.HostConfig ? { ...base, HostConfig: { ...base.HostConfig, ConsoleSize: [size.rows, size.columns] } } : base;
    let id: string;
    try {
      id = await createContainer(ctx, request, flags);
    } catch (error) {
      throw withHelp(ctx, error);
    }
    if (!flags.detach) return runAttached(ctx, id, request, flags);
    try {
      await ctx.api.lifecycle.start(id, {});
    } catch (error) {
      throw withHelp(ctx, error, startExitCode(errorMessage(error)));
    }
    ctx.out(id);
    return 0;
  },
});
