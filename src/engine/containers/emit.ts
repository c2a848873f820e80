import type { ContainerMount } from "../../volumes/mod.ts";
import type { Emit } from "../events.ts";
import type { NetworkState } from "./container.ts";
import type { ContainerDeps } from "./deps.ts";
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

/** Publishes that a container was plugged into its networks, or has left them. */
export function emitNetworks(
  { emit, network: networking }: Pick<ContainerDeps, "emit" | "network">,
  action: "connect" | "disconnect",
  container: Container,
  network: NetworkState | null,
): void {
  for (const [name, endpoint] of Object.entries(network?.networks ?? {})) {
    const driver = networking.network(name)?.driver ?? "bridge";
    emitNetwork(emit, action, container, { id: endpoint.NetworkID ?? "", name, driver });
  }
}

/** Publishes that a container was plugged into a network, or has left it. */
export function emitNetwork(
  emit: Emit,
  action: "connect" | "disconnect",
  container: Container,
  { id, name, driver }: { readonly id: string; readonly name: string; readonly driver: string },
): void {
  emit({ type: "network", action, id, attributes: { container: container.id, name, type: driver } });
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

/** Publishes what a start plugged in and mounted before it failed, and that this is undone, as docker does. */
export function emitFailedStart(deps: Pick<ContainerDeps, "emit" | "network">, container: Container, network: NetworkState): void {
  emitNetworks(deps, "connect", container, network);
  emitVolumes(deps.emit, "mount", container);
  emitNetworks(deps, "disconnect", container, network);
  emitVolumes(deps.emit, "unmount", container);
}
