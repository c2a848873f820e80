import { errnoCode } from "../../../lib/mod.ts";
import { command, NO_ARGS } from "../../command.ts";

/** What `-H ssh://…` of another host starts here: the engine's socket on stdin and stdout. */
export const dialStdio = command({
  use: "",
  short: "Proxy the stdio stream to the daemon connection. Should not be invoked manually.",
  args: NO_ARGS,
  flags: {},
  isHidden: true,
  run: async (ctx) => {
    const connection = await ctx.api.dial();
    const { stdin, stdout } = process;
    // the other side is gone: nothing is left to be told
    stdout.on("error", () => process.exit(1));
    const send = async (): Promise<void> => {
      for await (const chunk of stdin) await connection.write(chunk);
      connection.end();
    };
    // who started it may be gone; the engine sees that as its client's end
    send().catch(() => connection.destroy());
    try {
      for (let chunk = await connection.reader.read(); chunk !== null; chunk = await connection.reader.read()) {
        if (!stdout.write(chunk)) await new Promise((resolve) => stdout.once("drain", resolve));
      }
      // what the pipe hasn't taken yet must not be lost
      await new Promise<void>((resolve) => stdout.end(resolve));
    } catch (error) {
      if (errnoCode(error) !== "ECONNRESET") throw error;
    } finally {
      // the engine has said everything: nothing that still comes in could be answered
      stdin.destroy();
    }
  },
});
