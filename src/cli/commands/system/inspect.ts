import { DhowError, isKind } from "../../../lib/mod.ts";
import { imagePath, target } from "../../../sdk/mod.ts";
import { command, ExitError, minArgs } from "../../command.ts";
import type { Context } from "../../context.ts";
import { BOOLEAN, STRING } from "../../flag-kinds.ts";
import { INSPECT_FORMAT, inspectAll } from "../../inspect.ts";

const TYPES = ["config", "container", "image", "network", "node", "plugin", "secret", "service", "task", "volume"];

type Fetch = (ctx: Context, ref: string, size: boolean) => Promise<string>;

/** In the order in which a name is looked for. */
const FETCH: Readonly<Record<string, Fetch>> = {
  container: (ctx, ref, size) => ctx.api.text({ method: "GET", target: target(`/containers/${encodeURIComponent(ref)}/json`, { size }) }),
  image: (ctx, ref) => ctx.api.text({ method: "GET", target: `/images/${imagePath(ref)}/json` }),
  network: (ctx, ref) => ctx.api.text({ method: "GET", target: `/networks/${encodeURIComponent(ref)}` }),
  volume: (ctx, ref) => ctx.api.text({ method: "GET", target: `/volumes/${encodeURIComponent(ref)}` }),
};

async function fetchAny(ctx: Context, ref: string, size: boolean): Promise<string> {
  for (const fetch of Object.values(FETCH)) {
    try {
      return await fetch(ctx, ref, size);
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
    const fetch = type === "" ? fetchAny : FETCH[type];
    await inspectAll(ctx, args, format, async (ref) => {
      if (fetch === undefined) throw new DhowError("notFound", `Error: No such ${type}: ${ref}`);
      return fetch(ctx, ref, size);
    });
  },
});
