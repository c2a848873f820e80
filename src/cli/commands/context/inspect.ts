import { ANY_ARGS, command } from "../../command.ts";
import type { Context } from "../../context.ts";
import { wholeContext } from "../../contexts/docker-endpoint.ts";
import { contextName } from "../../contexts/endpoint.ts";
import { ContextStore, DEFAULT_CONTEXT } from "../../contexts/store.ts";
import { INSPECT_FORMAT, inspectAll } from "../../inspect.ts";

/** What docker says of the context that has no files, as Go's JSON spells it. */
const IN_MEMORY = String.raw`\u003cIN MEMORY\u003e`;

function inspectText(ctx: Context, name: string): string {
  const { meta, tls } = wholeContext(ctx.endpointSource, name);
  const material = Object.fromEntries(Object.entries(tls).map(([endpoint, files]) => [endpoint, Object.keys(files).sort()]));
  const store = new ContextStore(ctx.configDir);
  const isDefault = name === DEFAULT_CONTEXT;
  const storage = { MetadataPath: isDefault ? "" : store.metaPath(name), TLSPath: isDefault ? "" : store.tlsPath(name) };
  const text = JSON.stringify({ ...meta, TLSMaterial: material, Storage: storage });
  return isDefault ? text.replace(/"(MetadataPath|TLSPath)":""/g, (_, key) => `"${key}":"${IN_MEMORY}"`) : text;
}

export const contextInspect = command({
  use: "[OPTIONS] [CONTEXT] [CONTEXT...]",
  short: "Display detailed information on one or more contexts",
  args: ANY_ARGS,
  flags: { format: INSPECT_FORMAT },
  run: (ctx, args, flags) =>
    inspectAll(ctx, args.length > 0 ? args : [contextName(ctx.endpointSource)], flags.format, async (name) => inspectText(ctx, name)),
});
