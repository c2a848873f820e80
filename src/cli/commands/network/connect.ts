import { command, exactArgs } from "../../command.ts";
import { checkLink } from "../../container/names.ts";
import { BOOLEAN, INT, listOf, STRING, STRINGS } from "../../flag-kinds.ts";

/** @throws Error in docker's words */
function driverOptions(given: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(
    given.map((text) => {
      const at = text.indexOf("=");
      const key = text.slice(0, Math.max(at, 0)).trim();
      if (key === "") throw new Error("invalid key/value pair format in driver options");
      return [key, text.slice(at + 1).trim()];
    }),
  );
}

export const networkConnect = command({
  use: "[OPTIONS] NETWORK CONTAINER",
  short: "Connect a container to a network",
  args: exactArgs(2),
  flags: {
    alias: { kind: STRINGS, help: "Add network-scoped alias for the container" },
    "driver-opt": { kind: STRINGS, help: "driver options for the network" },
    "gw-priority": { kind: INT, help: "Highest gw-priority provides the default gateway. Accepts positive and negative values." },
    ip: { kind: STRING, help: 'IPv4 address (e.g., "172.30.100.104")' },
    ip6: { kind: STRING, help: 'IPv6 address (e.g., "2001:db8::33")' },
    link: { kind: listOf(checkLink), help: "Add link to another container" },
    "link-local-ip": { kind: STRINGS, help: "Add a link-local address for the container" },
  },
  run: async (ctx, [network = "", container = ""], flags) => {
    await ctx.api.networks.connect(network, {
      Container: container,
      EndpointConfig: {
        IPAMConfig: {
          ...(flags.ip !== "" && { IPv4Address: flags.ip }),
          ...(flags.ip6 !== "" && { IPv6Address: flags.ip6 }),
          ...(flags["link-local-ip"].length > 0 && { LinkLocalIPs: flags["link-local-ip"] }),
        },
        Links: flags.link,
        Aliases: flags.alias,
        DriverOpts: driverOptions(flags["driver-opt"]),
        GwPriority: flags["gw-priority"],
      },
    });
  },
});

export const networkDisconnect = command({
  use: "[OPTIONS] NETWORK CONTAINER",
  short: "Disconnect a container from a network",
  args: exactArgs(2),
  flags: { force: { kind: BOOLEAN, short: "f", help: "Force the container to disconnect from a network" } },
  run: async (ctx, [network = "", container = ""], { force }) => {
    await ctx.api.networks.disconnect(network, { Container: container, Force: force });
  },
});
