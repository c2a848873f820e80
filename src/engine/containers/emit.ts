import type { Emit } from "../events.ts";
import type { Container } from "./store.ts";

/** Publishes a container's event with docker's attributes: its labels, image and name. */
export function emitContainer(
  emit: Emit,
  action: string,
  { id, name, spec }: Container,
  attributes: Readonly<Record<string, string>> = {},
): void {
  emit({ type: "container", action, id, attributes: { ...spec.config.Labels, ...attributes, image: spec.image, name } });
}
