import { command } from "../../command.ts";
import { joinHostPort } from "../../format/ports.ts";

export const port = command({
  use: "CONTAINER [PRIVATE_PORT[/PROTO]]",
  short: "List port mappings or a specific mapping for the container",
  aliases: ["container port", "port"],
  args: { min: 1, max: 2 },
  flags: {},
  run: async (ctx, [ref = "", wanted]) => {
    const { NetworkSettings } = await ctx.api.containers.inspect(ref, { size: false });
    const ports = NetworkSettings?.Ports ?? {};
    if (wanted !== undefined) {
      const [number = "", proto = "tcp"] = wanted.split("/");
      const problem = /^\d+$/.test(number) ? "value out of range" : "invalid syntax";
      if (!/^\d+$/.test(number) || Number(number) > 65535)
        throw new Error(`Error: invalid port (${number}): strconv.ParseUint: parsing ${JSON.stringify(number)}: ${problem}`);
      const bindings = ports[`${Number(number)}/${proto.toLowerCase()}`];
      if (!bindings || bindings.length === 0) throw new Error(`Error: No public port '${wanted}' published for ${ref}`);
      for (const line of bindings.map(({ HostIp = "", HostPort = "" }) => joinHostPort(HostIp, HostPort)).sort()) ctx.out(line);
      return;
    }
    const rows = Object.entries(ports).flatMap(([name, bindings]) =>
      (bindings ?? []).map(({ HostIp = "", HostPort = "" }) => ({ name, text: `${name} -> ${joinHostPort(HostIp, HostPort)}` })),
    );
    rows.sort((a, b) => Number.parseInt(a.name, 10) - Number.parseInt(b.name, 10) || (a.text < b.text ? -1 : 1));
    for (const { text } of rows) ctx.out(text);
  },
});
