import type { Defect } from "../lib/mod.ts";
import { elementKeys } from "./firewall.ts";
import type { PortForward } from "./firewall-elements.ts";
import type { PortLease } from "./port-allocator.ts";

const OWN_INTERFACE = /^veth[0-9a-f]{7}$/;

/** A place on the network: one that is held, ready, or on its way out. */
export interface Place {
  readonly hostInterface: string | undefined;
  /** As text. */
  readonly addresses: readonly string[];
}

/** The places that a container holds, with what it publishes. */
export interface HeldPlaces {
  readonly containerId: string;
  readonly places: readonly Place[];
  readonly ports: readonly TakenPort[];
  readonly forwards: readonly PortForward[];
}

export type TakenPort = Pick<PortLease, "protocol" | "hostIp" | "hostPort">;

/** What there is at one moment, in this process and in the kernel. */
export interface NetworkView {
  readonly held: readonly HeldPlaces[];
  /** Sandboxes made ahead. */
  readonly ready: readonly Place[];
  /** What is being torn down. */
  readonly leaving: readonly Place[];
  /** Containers that have a row. */
  readonly rows: readonly string[];
  /** Interfaces of the host, and those of them that are plugged into our bridges. */
  readonly interfaces: ReadonlySet<string>;
  readonly plugged: readonly string[];
  /** Addresses and ports that are taken; `reserved` is nobody's. */
  readonly addresses: readonly string[];
  readonly reserved: readonly string[];
  readonly ports: readonly TakenPort[];
}

/** How each kind of defect is put right. */
export interface NetworkRepairs {
  release(containerId: string): void;
  deleteRow(containerId: string): void;
  writeRow(containerId: string): void;
  dropReady(hostInterface: string): void;
  unplug(hostInterface: string): void;
  freeAddress(address: string): void;
  freePort(port: TakenPort): void;
}

/** Endpoints of containers that don't run, rows, interfaces, addresses and ports of no endpoint. A repair looks again before it takes. */
export function networkDefects(look: () => NetworkView, repairs: NetworkRepairs, isRun: (containerId: string) => boolean): Defect[] {
  return [...endpointDefects(look(), repairs, isRun), ...interfaceDefects(look, repairs), ...portDefects(look, repairs)];
}

function endpointDefects({ held, rows }: NetworkView, repairs: NetworkRepairs, isRun: (containerId: string) => boolean): Defect[] {
  const ids = held.map(({ containerId }) => containerId);
  const idle = ids.filter((id) => !isRun(id));
  const unknown = rows.filter((id) => !ids.includes(id));
  const lost = ids.filter((id) => isRun(id) && !rows.includes(id));
  const of = (what: string, repair: (id: string) => void) => (id: string) => ({
    what: `${what} of container ${id}`,
    owner: id,
    mend: () => repair(id),
  });
  return [
    ...idle.map(of("an endpoint without a run", (id) => repairs.release(id))),
    ...unknown.map(of("a row of an endpoint that is not there", (id) => repairs.deleteRow(id))),
    ...lost.map(of("no row of the endpoint", (id) => repairs.writeRow(id))),
  ];
}

function places({ held, ready, leaving }: NetworkView): readonly Place[] {
  return [...held.flatMap((h) => h.places), ...ready, ...leaving];
}

function isOfPlace(view: NetworkView, name: string): boolean {
  return places(view).some(({ hostInterface }) => hostInterface === name);
}

function isAddressOwned(view: NetworkView, address: string): boolean {
  return view.reserved.includes(address) || places(view).some(({ addresses }) => addresses.includes(address));
}

function interfaceDefects(look: () => NetworkView, repairs: NetworkRepairs): Defect[] {
  const view = look();
  const empty = view.ready.flatMap(({ hostInterface: name }) => (name === undefined || view.interfaces.has(name) ? [] : name));
  // others may plug into the bridge what they like, by other names
  const stray = view.plugged.filter((name) => OWN_INTERFACE.test(name) && !isOfPlace(view, name));
  const leaked = view.addresses.filter((address) => !isAddressOwned(view, address));
  return [
    ...empty.map((name) => ({ what: `interface ${name} of a sandbox made ahead is gone`, mend: () => repairs.dropReady(name) })),
    ...stray.map((name) => ({
      what: `interface ${name} is of no endpoint`,
      mend: () => {
        if (!isOfPlace(look(), name)) repairs.unplug(name);
      },
    })),
    ...leaked.map((address) => ({
      what: `address ${address} is kept for no endpoint`,
      mend: () => {
        if (!isAddressOwned(look(), address)) repairs.freeAddress(address);
      },
    })),
  ];
}

const portText = ({ protocol, hostIp, hostPort }: TakenPort): string => `${protocol} ${hostIp}:${hostPort}`;

function portDefects(look: () => NetworkView, repairs: NetworkRepairs): Defect[] {
  const owned = (): ReadonlySet<string> => new Set(look().held.flatMap(({ ports }) => ports.map(portText)));
  const known = owned();
  return look()
    .ports.filter((port) => !known.has(portText(port)))
    .map((port) => ({
      what: `port ${portText(port)} is taken for no endpoint`,
      mend: () => {
        if (!owned().has(portText(port))) repairs.freePort(port);
      },
    }));
}

/** The running containers whose interface somebody took away: they are cut off until they are started again. */
export function cutOffContainers({ held, interfaces }: NetworkView): string[] {
  const isLost = ({ hostInterface }: Place): boolean => hostInterface !== undefined && !interfaces.has(hostInterface);
  return held.flatMap(({ containerId, places: own }) => (own.some(isLost) ? containerId : []));
}

/**
 * Published ports that the kernel has no element for, and elements that publish nothing. What is published or taken back while the kernel
 * is asked counts neither way.
 */
export async function firewallDefects(
  look: () => NetworkView,
  read: () => Promise<ReadonlySet<string> | undefined>,
  reinstall: () => void,
): Promise<Defect[]> {
  // as they were put in: those of one container at a time
  const elements = (): ReadonlySet<string> => new Set(look().held.flatMap(({ forwards }) => [...elementKeys(forwards)]));
  const before = elements();
  const found = await read();
  const after = elements();
  if (found === undefined) return [{ what: "the nft table is not whole", mend: reinstall }];
  const stray = [...found].filter((element) => !before.has(element) && !after.has(element));
  const missing = [...before].filter((element) => after.has(element) && !found.has(element));
  return [
    ...stray.map((element) => ({ what: `nft element ${element} publishes no port`, mend: reinstall })),
    ...missing.map((element) => ({ what: `nft element ${element} is missing`, mend: reinstall })),
  ];
}
