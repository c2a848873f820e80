import { command, exactArgs } from "../../command.ts";
import { checkLabel } from "../../container/names.ts";
import { BOOLEAN, listOf, MAP, pairs, STRING, STRINGS } from "../../flag-kinds.ts";
import { ipamOf } from "../../network/ipam.ts";

const FLAGS = {
  attachable: { kind: BOOLEAN, help: "Enable manual container attachment" },
  "aux-address": { kind: MAP, help: "Auxiliary IPv4 or IPv6 addresses used by Network driver (default map[])" },
  "config-from": { kind: STRING, help: "The network from which to copy the configuration" },
  "config-only": { kind: BOOLEAN, help: "Create a configuration only network" },
  driver: { kind: STRING, short: "d", initial: "bridge", help: 'Driver to manage the Network (default "bridge")' },
  gateway: { kind: STRINGS, help: "IPv4 or IPv6 Gateway for the master subnet" },
  ingress: { kind: BOOLEAN, help: "Create swarm routing-mesh network" },
  internal: { kind: BOOLEAN, help: "Restrict external access to the network" },
  "ip-range": { kind: STRINGS, help: "Allocate container ip from a sub-range" },
  "ipam-driver": { kind: STRING, initial: "default", help: 'IP Address Management Driver (default "default")' },
  "ipam-opt": { kind: MAP, help: "Set IPAM driver specific options (default map[])" },
  ipv4: { kind: BOOLEAN, initial: true, help: "Enable or disable IPv4 address assignment (default true)" },
  ipv6: { kind: BOOLEAN, help: "Enable or disable IPv6 address assignment" },
  label: { kind: listOf(checkLabel), help: "Set metadata on a network" },
  opt: { kind: MAP, short: "o", help: "Set driver specific options (default map[])" },
  scope: { kind: STRING, help: "Control the network's scope" },
  subnet: { kind: STRINGS, help: "Subnet in CIDR format that represents a network segment" },
} as const;

export const networkCreate = command({
  use: "[OPTIONS] NETWORK",
  short: "Create a network",
  args: exactArgs(1),
  flags: FLAGS,
  run: async (ctx, [name = ""], flags, changed) => {
    const ipam = ipamOf({
      driver: flags["ipam-driver"],
      options: flags["ipam-opt"],
      subnets: flags.subnet,
      ranges: flags["ip-range"],
      gateways: flags.gateway,
      auxAddresses: flags["aux-address"],
    });
    const { Id = "" } = await ctx.api.networks.create({
      Name: name,
      Driver: flags.driver,
      Scope: flags.scope,
      ...(changed.has("ipv4") && { EnableIPv4: flags.ipv4 }),
      ...(changed.has("ipv6") && { EnableIPv6: flags.ipv6 }),
      IPAM: ipam,
      Internal: flags.internal,
      Attachable: flags.attachable,
      Ingress: flags.ingress,
      ConfigOnly: flags["config-only"],
      ...(flags["config-from"] !== "" && { ConfigFrom: { Network: flags["config-from"] } }),
      Options: flags.opt,
      Labels: pairs(flags.label),
    });
    ctx.out(Id);
  },
});
