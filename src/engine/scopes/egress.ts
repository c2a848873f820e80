import type { EgressApi } from "../../spec/engine/mod.ts";
import type { Objects } from "./objects.ts";

/** Egress policies as far as a socket's clients see them. */
export function scopedEgress(objects: Objects): EgressApi {
  const { access, engine } = objects;
  return {
    inspect: async (ref) => objects.withoutIds(engine.egress.inspect(await objects.container(ref, "read"))),
    // who is held to a policy, and has this socket, is not to loosen it
    change: async (ref) => {
      await objects.container(ref, "control");
      throw access.refusal("changes of egress policies");
    },
  };
}
