import { isKind } from "../../lib/mod.ts";
import type { EngineClient } from "../../sdk/mod.ts";
import { ExitError } from "../command.ts";
import { composeText } from "./compose.ts";
import { type EngineDefaults, type Own, ownOf } from "./own.ts";
import { runText } from "./run.ts";
import { typescriptText } from "./ts.ts";

/** What `inspect --as` takes. */
export const FORMS = ["run", "compose", "ts"] as const;
export type Form = (typeof FORMS)[number];

/** @throws ExitError for another word */
export function checkForm(text: string): Form {
  const form = FORMS.find((known) => known === text);
  if (form === undefined) throw new ExitError(125, `invalid value ${JSON.stringify(text)} for --as: must be one of ${FORMS.join(", ")}`);
  return form;
}

async function defaultsOf(api: EngineClient): Promise<EngineDefaults> {
  const { LoggingDriver = "", DefaultRuntime = "", CgroupVersion = "" } = await api.system.info();
  return { logDriver: LoggingDriver, runtime: DefaultRuntime, cgroupnsMode: CgroupVersion === "2" ? "private" : "host" };
}

async function own(api: EngineClient, ref: string, defaults: EngineDefaults): Promise<Own> {
  const container = await api.containers.inspect(ref, { size: false });
  try {
    const image = await api.images.inspect(container.Image ?? "", {});
    return ownOf(container, image.Config ?? undefined, defaults);
  } catch (error) {
    // its image is gone: everything counts as its own
    if (!isKind(error, "notFound")) throw error;
    return ownOf(container, undefined, defaults);
  }
}

/** The text that makes the containers again. @throws notFound */
export async function recreateText(api: EngineClient, refs: readonly string[], form: Form, program: string): Promise<string> {
  const defaults = await defaultsOf(api);
  const all = await Promise.all(refs.map((ref) => own(api, ref, defaults)));
  switch (form) {
    case "run":
      return `${all.map((one) => runText(one, program)).join("\n")}\n`;
    case "compose":
      return composeText(all);
    case "ts":
      return typescriptText(all);
    default: {
      const never: never = form;
      return never;
    }
  }
}
