import type { ContainerMount } from "../../volumes/mod.ts";
import type { Emit } from "../events.ts";
import type { NetworkState } from "./container.ts";
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

/** A command as docker's `exec_create` and `exec_start` show it: with a space after the program, also when nothing follows. */
export function commandText([program = "", ...args]: readonly string[]): string {
  return `${program} ${args.join(" ")}`;
}

const NETWORK_TYPES: Readonly<Record<string, string>> = { bridge: "bridge", host: "host", none: "null" };

/** Publishes that a container was plugged into its networks, or has left them. */
export function emitNetworks(emit: Emit, action: "connect" | "disconnect", container: Container, network: NetworkState | null): void {
  for (const [name, endpoint] of Object.entries(network?.networks ?? {})) {
    const attributes = { container: container.id, name, type: NETWORK_TYPES[name] ?? "bridge" };
    emit({ type: "network", action, id: endpoint.NetworkID ?? "", attributes });
  }
}

function mountAttributes(mount: ContainerMount): Readonly<Record<string, string>> {
  return { destination: mount.destination, propagation: mount.propagation, "read/write": String(!mount.isReadOnly) };
}

/** Publishes that a container's process sees its volumes, or no longer does. */
export function emitVolumes(emit: Emit, action: "mount" | "unmount", { id, spec }: Container): void {
  for (const mount of spec.mounts) {
    if (mount.kind !== "volume") continue;
    const details = action === "mount" ? mountAttributes(mount) : {};
    emit({ type: "volume", action, id: mount.volume, attributes: { container: id, driver: mount.driver, ...details } });
  }
}
