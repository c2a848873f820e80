import type { Defect } from "../lib/mod.ts";
import { type Link, listLinks, type NetlinkSocket } from "../linux/mod.ts";
import type { EndpointsTable } from "../metadata/mod.ts";
import { LocalAddresses } from "./addresses.ts";
import { cutOffContainers, firewallDefects, type NetworkRepairs, type NetworkView, networkDefects } from "./defects.ts";
import type { Egress } from "./egress/egress.ts";
import { placesOf } from "./endpoint-forms.ts";
import type { Firewall } from "./firewall.ts";
import { formatIp, parseIp } from "./ip.ts";
import type { NetworkConfig } from "./network-config.ts";
import type { OpenNetwork } from "./networks.ts";
import type { Publisher } from "./publisher.ts";
import type { Reaper } from "./reaper.ts";
import { addressesOf } from "./sandbox.ts";
import type { SandboxPool } from "./sandbox-pool.ts";
import type { Sandboxes } from "./sandboxes.ts";

export interface SelfCheckDeps {
  readonly route: NetlinkSocket;
  readonly table: EndpointsTable;
  readonly firewall: Firewall;
  readonly egress: Egress;
  readonly publisher: Publisher;
  readonly reaper: Reaper;
  readonly pool: SandboxPool;
  readonly sandboxes: Sandboxes;
  /** All networks, and those of them that are open; the default bridge among both. */
  readonly configs: () => readonly NetworkConfig[];
  readonly opened: () => readonly OpenNetwork[];
  readonly unplug: (hostInterface: string) => void;
}

/** The interfaces that are plugged into the bridges of networks. */
export function pluggedInto(networks: readonly OpenNetwork[], links: readonly Link[]): string[] {
  const names = new Set(networks.map(({ on }) => on.bridge));
  const bridges = new Set(links.filter(({ name }) => names.has(name)).map(({ index }) => index));
  return links.filter(({ master }) => bridges.has(master)).map(({ name }) => name);
}

/** Compares what this daemon knows of its networks with its rows and with the kernel. */
export class SelfCheck {
  readonly #deps: SelfCheckDeps;

  constructor(deps: SelfCheckDeps) {
    this.#deps = deps;
  }

  /** What is not as it must be; what is being torn down is none of it. `isRun`: whether a container runs, or is about to. */
  async defects(isRun: (containerId: string) => boolean): Promise<Defect[]> {
    const { firewall, egress } = this.#deps;
    const look = (): NetworkView => this.#view();
    const rules = await firewallDefects(
      look,
      () => firewall.read(),
      () => firewall.install(),
    );
    const policies = egress.missing().map((what) => ({ what, mend: () => egress.install() }));
    return [...networkDefects(look, this.#repairs(), isRun), ...rules, ...policies];
  }

  /** The running containers whose interface somebody took away. */
  cutOff(): string[] {
    return cutOffContainers(this.#view());
  }

  #localAddresses(): LocalAddresses[] {
    return this.#deps
      .opened()
      .map(({ on }) => on.addresses)
      .filter((source) => source instanceof LocalAddresses);
  }

  #view(): NetworkView {
    const { route, table, publisher, reaper, pool, sandboxes, configs, opened } = this.#deps;
    const links = listLinks(route);
    return {
      held: sandboxes.held().map(({ containerId, endpoints }) => ({
        containerId,
        places: endpoints.map((e) => ({ hostInterface: e.plugged.hostInterface, addresses: addressesOf(e) })),
        ports: publisher.leases(containerId),
        forwards: publisher.forwards(containerId),
      })),
      ready: placesOf(pool.endpoints()),
      leaving: placesOf(reaper.leaving()),
      rows: table.sandboxes().map((row) => row.container_id),
      interfaces: new Set(links.map(({ name }) => name)),
      plugged: pluggedInto(opened(), links),
      addresses: this.#localAddresses().flatMap((source) => source.used().map(formatIp)),
      reserved: configs().flatMap(({ pools }) =>
        pools.flatMap(({ gateway, auxAddresses = {} }) => [gateway ?? "", ...Object.values(auxAddresses)]),
      ),
      ports: publisher.taken(),
    };
  }

  #repairs(): NetworkRepairs {
    const { table, publisher, pool, sandboxes, unplug } = this.#deps;
    return {
      release: (id) => sandboxes.release(id),
      deleteRow: (id) => table.remove(id),
      writeRow: (id) => sandboxes.recordAgain(id),
      dropReady: (name) => pool.drop(name),
      unplug,
      freeAddress: (address) => {
        for (const source of this.#localAddresses()) source.free(parseIp(address));
      },
      freePort: (port) => publisher.free(port),
    };
  }
}
