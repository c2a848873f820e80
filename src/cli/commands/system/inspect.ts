import { DhowError, isKind } from "../../../lib/mod.ts";
import { imagePath, segment, target } from "../../../sdk/mod.ts";
import { command, ExitError, minArgs } from "../../command.ts";
import type { Context } from "../../context.ts";
import { BOOLEAN, STRING } from "../../flag-kinds.ts";
import { INSPECT_FORMAT, inspectAll } from "../../inspect.ts";

const TYPES = ["config", "container", "image", "network", "node", "plugin", "secret", "service", "task", "volume"];

type Fetch = (ctx: Context, ref: string, size: boolean) => Promise<string>;

/** In the order in which a name is looked for. */
const FETCH: Readonly<Record<string, Fetch>> = {
  container: (ctx, ref, size) => ctx.api.text({ method: "GET", target: target(`/containers/${segment(ref, "container")}/json`, { size }) }),
  image: (ctx, ref) => ctx.api.text({ method: "GET", target: `/images/${imagePath(ref)}/json` }),
  network: (ctx, ref) => ctx.api.text({ method: "GET", target: `/networks/${segment(ref, "network")}` }),
  volume: (ctx, ref) => ctx.api.text({ method: "GET", target: `/volumes/${segment(ref, "volume")}` }),
};

async function fetchAs(ctx: Context, type: string, ref: string, size: boolean): Promise<string> {
  const fetch = FETCH[type];
  if (fetch === undefined) {
    // what an engine without swarm and plug-ins has none of: it says so itself
    return ctx.api.text({ method: "GET", target: `/${type}s/${segment(ref, type)}${type === "plugin" ? "/json" : ""}` });
  }
  const found = await fetch(ctx, ref, size);
  if (size && type !== "container") ctx.warn(`WARNING: --size ignored for ${type}`);
  return found;
}

async function fetchAny(ctx: Context, ref: string, size: boolean): Promise<string> {
  // an empty name can't be another's
  segment(ref, "container");
  for (const type of Object.keys(FETCH)) {
    try {
      return await fetchAs(ctx, type, ref, size);
    } catch (error) {
      // A name that one kind of object can't have may be another's.
      if (!isKind(error, "notFound") && !isKind(error, "invalid")) throw error;
    }
  }
  throw new DhowError("notFound", `Error: No such object: ${ref}`);
}

export const inspect = command({
  use: "[OPTIONS] NAME|ID [NAME|ID...]",
  short: "Return low-level information on Docker objects",
  args: minArgs(1),
  flags: {
    as: { kind: STRING, isOwn: true, help: 'Print what would make the container again ("run", "compose", "ts")' },
    format: INSPECT_FORMAT,
    size: { kind: BOOLEAN, short: "s", help: "Display total file sizes if the type is container" },
    type: { kind: STRING, help: "Only inspect objects of the given type" },
  },
  run: async (ctx, args, flags, changed) => {
    const { type, size, format } = flags;
    if (changed.has("as")) {
      const { checkForm, recreateText } = await import("../../recreate/mod.ts");
      ctx.stdout.write(await recreateText(ctx.api, args, checkForm(flags.as), ctx.name));
      return;
    }
    if (changed.has("type") && !TYPES.includes(type)) {
      const problem = type === "" ? `type is empty` : `unknown type: ${JSON.stringify(type)}`;
      throw new ExitError(1, `${problem}: must be one of ${TYPES.map((name) => JSON.stringify(name)).join(", ")}`);
    }
    await inspectAll(ctx, args, format, (ref) => (type === "" ? fetchAny(ctx, ref, size) : fetchAs(ctx, type, ref, size)));
  },
});
