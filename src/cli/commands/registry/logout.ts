import { errorMessage } from "../../../lib/mod.ts";
import { command, maxArgs } from "../../command.ts";
import { DEFAULT_REGISTRY, eraseCredentials, hostOf } from "../../credentials/credentials.ts";

export const logout = command({
  use: "[SERVER]",
  short: "Log out from a registry",
  long: "Log out from a registry.\nIf no server is specified, the default is defined by the daemon.",
  args: maxArgs(1),
  flags: {},
  run: async (ctx, [address = ""]) => {
    const host = address === "" ? DEFAULT_REGISTRY : hostOf(address);
    // credentials were kept under all of these at some time
    const names = address === "" ? [host] : [...new Set([address, host, `http://${host}`, `https://${host}`])];
    ctx.out(`Removing login credentials for ${host}`);
    const failures: string[] = [];
    for (const name of names) {
      await eraseCredentials(ctx.configDir, name).catch((error: unknown) => failures.push(`${name}: ${errorMessage(error)}`));
    }
    if (failures.length === names.length) ctx.warn(`WARNING: could not erase credentials:\n${failures.join("\n")}`);
  },
});
