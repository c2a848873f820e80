import type { ConditionsApi } from "../../spec/engine/mod.ts";
import type { Objects } from "./objects.ts";

/** Network conditions as far as a socket's clients may change them. */
export function scopedConditions(objects: Objects): ConditionsApi {
  const { engine } = objects;
  return {
    change: async (ref, request) => engine.conditions.change(await objects.container(ref, "control"), request),
  };
}
