import { DhowError, errorMessage, type Logger } from "../../lib/mod.ts";
import type { DriverNetwork, NetworkDriver } from "../drivers/driver.ts";
import type { Prefix } from "../ip.ts";
import type { NetworkConfig, NetworkRequest } from "../network-config.ts";
import { allocateNetwork, freeNetwork, isRemovedElsewhere, vniOf } from "./allocation.ts";
import { isEncrypted, type OverlayDeps, OverlayNetwork } from "./overlay-network.ts";

/** Name of the driver of networks of several hosts. */
export const OVERLAY_DRIVER = "overlay";

/** What the daemon's list of networks is told of other hosts'. */
export interface GlobalNetworks {
  /** Another host made it. */
  learn(config: NetworkConfig): Promise<void>;
  /** Another host removed it: `takeAway` has to be called. @throws conflict while this host's containers are on it */
  forget(id: string, takeAway: () => void): Promise<void>;
  /** Those of this driver that the list has. */
  known(): readonly string[];
  /** All that other hosts made and removed while this daemon was away has been told; those of which ids they removed. */
  caughtUp(isRemovedElsewhere: (id: string) => boolean): void;
}

export interface OverlayDriverDeps extends OverlayDeps {
  readonly log: Logger;
  /** Networks that the host has a route to. */
  readonly taken: () => readonly Prefix[];
}

/** Networks that hosts with the same etcd share. */
export class OverlayDriver implements NetworkDriver {
  readonly name = OVERLAY_DRIVER;
  readonly scope = "global";
  readonly #deps: OverlayDriverDeps;
  readonly #open = new Map<string, OverlayNetwork>();
  /** Changes to the list, one after the other. */
  #queue: Promise<void> = Promise.resolve();
  #listening: Disposable | undefined;

  constructor(deps: OverlayDriverDeps) {
    this.#deps = deps;
  }

  check(request: NetworkRequest): void {
    vniOf(request);
    const mtu = request.options["com.docker.network.driver.mtu"];
    if (mtu !== undefined && !/^\d*$/.test(mtu)) throw new DhowError("invalid", `invalid MTU value: ${mtu}`);
    if (isEncrypted(request)) this.#deps.encryption.check();
  }

  complete(draft: NetworkConfig): Promise<NetworkConfig> {
    return allocateNetwork(this.#deps.cluster, draft, this.#deps.taken());
  }

  async open(config: NetworkConfig, { isNew }: { readonly isNew: boolean }): Promise<DriverNetwork> {
    try {
      const network = new OverlayNetwork(config, this.#deps);
      this.#open.set(config.id, network);
      return network;
    } catch (error) {
      if (isNew) await freeNetwork(this.#deps.cluster, config);
      throw error;
    }
  }

  /** Begins to tell `networks` what other hosts make and remove; to be called once what this host has is taken up. */
  start(networks: GlobalNetworks): void {
    const { cluster } = this.#deps;
    const inTurn = (work: () => Promise<void>): void => {
      this.#queue = this.#queue
        .then(work)
        .catch((error: unknown) => this.#deps.log.error("can't follow another host's network", { error }));
    };
    this.#listening = cluster.listen((key, value) => {
      const id = key.startsWith("networks/") ? key.slice("networks/".length) : undefined;
      if (id === undefined) return;
      inTurn(() => (value === undefined ? this.#forget(networks, id) : networks.learn(JSON.parse(value) as NetworkConfig)));
    });
    this.#deps.encryption.settle();
    cluster.start((): void => {
      this.#deps.encryption.synced();
      const there = new Set(cluster.entries("networks/").map(([key]) => key.slice("networks/".length)));
      for (const id of networks.known()) if (!there.has(id)) inTurn(() => this.#forgetUnlessThere(networks, id));
      inTurn(async () => networks.caughtUp((id) => isRemovedElsewhere(cluster, id)));
      for (const [id, network] of this.#open) {
        try {
          network.sweep();
        } catch (error) {
          this.#deps.log.warn("can't take away what is left of other hosts' endpoints", { network: id, error: errorMessage(error) });
        }
      }
    });
  }

  /** One that is not in the copy may have been made a moment ago. */
  async #forgetUnlessThere(networks: GlobalNetworks, id: string): Promise<void> {
    if ((await this.#deps.cluster.read(`networks/${id}`)) === undefined) await this.#forget(networks, id);
  }

  async #forget(networks: GlobalNetworks, id: string): Promise<void> {
    await networks.forget(id, () => this.#open.get(id)?.forget());
    this.#open.delete(id);
  }

  /** Ends it; with `isUnused`, as no container of this host is on such a network, nothing of encryption stays in the kernel. */
  async stop({ isUnused }: { readonly isUnused: boolean }): Promise<void> {
    this.#listening?.[Symbol.dispose]();
    if (isUnused) this.#deps.encryption.clear();
    this.#deps.encryption.close();
    await this.#deps.cluster.stop();
  }
}
