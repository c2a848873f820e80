import { command, ExitError, minArgs } from "../../command.ts";
import { checkEnv, readEnvFile } from "../../env-file.ts";
import { BOOLEAN, LIST, listOf, STRING } from "../../flag-kinds.ts";
import { orSetting } from "../../settings.ts";
import { followSize, runSession } from "../../terminal/session.ts";
import { isStdinTerminal } from "../../terminal/stdin.ts";

const EXIT_CANNOT_START = 126;

export const exec = command({
  use: "[OPTIONS] CONTAINER COMMAND [ARG...]",
  short: "Execute a command in a running container",
  aliases: ["container exec", "exec"],
  args: minArgs(2),
  isInterspersed: false,
  flags: {
    detach: { kind: BOOLEAN, short: "d", help: "Detached mode: run command in the background" },
    "detach-keys": { kind: STRING, help: "Override the key sequence for detaching a container" },
    env: { kind: listOf(checkEnv), short: "e", help: "Set environment variables" },
    "env-file": { kind: LIST, help: "Read in a file of environment variables" },
    interactive: { kind: BOOLEAN, short: "i", help: "Keep STDIN open even if not attached" },
    privileged: { kind: BOOLEAN, help: "Give extended privileges to the command" },
    tty: { kind: BOOLEAN, short: "t", help: "Allocate a pseudo-TTY" },
    user: { kind: STRING, short: "u", help: 'Username or UID (format: "<name|uid>[:<group|gid>]")' },
    workdir: { kind: STRING, short: "w", help: "Working directory inside the container" },
  },
  run: async (ctx, [container = "", ...cmd], flags) => {
    const env = [...flags["env-file"].flatMap(readEnvFile), ...flags.env];
    const { interactive, tty, detach } = flags;
    const { exec: api } = ctx.api;
    // Fails before anything is made when there is no such container.
    await ctx.api.containers.inspect(container, { size: false });
    if (!detach && interactive && tty && !isStdinTerminal()) throw new ExitError(1, "the input device is not a TTY");
    const size = tty ? ctx.stdout.size : undefined;
    const keys = orSetting(ctx, "detachKeys", flags["detach-keys"]);
    const { Id } = await api.create(container, {
      User: flags.user,
      Privileged: flags.privileged,
      Tty: tty,
      ...(size && { ConsoleSize: [size.rows, size.columns] }),
      AttachStdin: !detach && interactive,
      AttachStderr: !detach,
      AttachStdout: !detach,
      DetachKeys: keys,
      Env: env.length > 0 ? env : null,
      WorkingDir: flags.workdir,
      Cmd: cmd,
    });
    if (Id === "") throw new Error("exec ID empty");
    if (detach) {
      await api.start(Id, { Detach: true, Tty: tty, ...(size && { ConsoleSize: [size.rows, size.columns] }) }, {});
      return 0;
    }
    const session = await api.start(Id, { Detach: false, Tty: tty, ...(size && { ConsoleSize: [size.rows, size.columns] }) }, {});
    if (session === null) return EXIT_CANNOT_START;
    const endResize = tty ? followSize(ctx, (now) => api.resize(Id, now)) : () => {};
    try {
      const end = await runSession(ctx, session, { tty, stdin: interactive, detachKeys: keys });
      if (end === "detached") throw new ExitError(1, "read escape sequence");
    } finally {
      endResize();
    }
    return (await api.inspect(Id)).ExitCode ?? 0;
  },
});
