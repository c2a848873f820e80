import { command, ExitError, exactArgs } from "../../command.ts";
import { BOOLEAN, STRING } from "../../flag-kinds.ts";
import { orSetting } from "../../settings.ts";
import { followSize, runSession } from "../../terminal/session.ts";
import { proxySignals } from "../../terminal/signals.ts";
import { isStdinTerminal } from "../../terminal/stdin.ts";

export const attach = command({
  use: "[OPTIONS] CONTAINER",
  short: "Attach local standard input, output, and error streams to a running container",
  aliases: ["container attach", "attach"],
  args: exactArgs(1),
  flags: {
    "detach-keys": { kind: STRING, help: "Override the key sequence for detaching a container" },
    "no-stdin": { kind: BOOLEAN, help: "Do not attach STDIN" },
    "sig-proxy": { kind: BOOLEAN, initial: true, help: "Proxy all received signals to the process (default true)" },
  },
  run: async (ctx, [ref = ""], flags) => {
    const { lifecycle, streams, containers } = ctx.api;
    const { State, Config } = await containers.inspect(ref, { size: false });
    if (!State?.Running) throw new ExitError(1, "You cannot attach to a stopped container, start it first");
    if (State.Paused) throw new ExitError(1, "You cannot attach to a paused container, unpause it first");
    if (State.Restarting) throw new ExitError(1, "You cannot attach to a restarting container, wait until it is running");
    const tty = Config?.Tty === true;
    const stdin = !flags["no-stdin"] && Config?.OpenStdin === true;
    if (stdin && tty && !isStdinTerminal()) throw new ExitError(1, "the input device is not a TTY");
    const { exit } = await lifecycle.wait(ref, "not-running", {});
    const keys = orSetting(ctx, "detachKeys", flags["detach-keys"]);
    const session = await ctx.api.attach(ref, {
      logs: false,
      stream: true,
      stdin,
      stdout: true,
      stderr: true,
      detachKeys: keys || undefined,
      tty,
    });
    const endProxy = flags["sig-proxy"] && !tty ? proxySignals((signal) => lifecycle.kill(ref, signal)) : () => {};
    const endResize = tty ? followSize(ctx, (size) => streams.resize(ref, size)) : () => {};
    try {
      const end = await runSession(ctx, session, { tty, stdin, detachKeys: keys });
      if (end === "detached") throw new ExitError(1, "read escape sequence");
    } finally {
      endResize();
      endProxy();
    }
    const { StatusCode = 0, Error: failure } = await exit;
    if (failure?.Message) throw new Error(failure.Message);
    return StatusCode;
  },
});
