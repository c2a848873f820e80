import { DhowError, type Logger } from "../lib/mod.ts";
import type { Fd, NetlinkSocket } from "../linux/mod.ts";
import type { EndpointsTable } from "../metadata/mod.ts";
import { mtuOf } from "./default-bridge.ts";
import { type BridgeDeps, BridgeDriver } from "./drivers/bridge.ts";
import { hostNetworks } from "./drivers/bridge-link.ts";
import type { NetworkDriver } from "./drivers/driver.ts";
import { LanDriver } from "./drivers/lan.ts";
import { RemoteDriver } from "./drivers/remote.ts";
import type { Egress } from "./egress/egress.ts";
import type { Firewall } from "./firewall.ts";
import { enableForwarding } from "./ip-forward.ts";
import type { NetworkingOptions } from "./networking-options.ts";
import { Cluster, Encryption, Etcd, OVERLAY_DRIVER, OverlayDriver, type OverlayGuard } from "./overlay/mod.ts";
import type { Reaper } from "./reaper.ts";

export interface NetworkDriversDeps {
  readonly options: NetworkingOptions;
  readonly home: Fd;
  readonly route: NetlinkSocket;
  readonly netfilter: NetlinkSocket;
  readonly firewall: Firewall;
  readonly egress: Egress;
  readonly guard: OverlayGuard;
  readonly reaper: Reaper;
  readonly table: EndpointsTable;
  readonly log: Logger;
}

/** The kinds of networks that this daemon can have. */
export class NetworkDrivers {
  readonly bridge: BridgeDriver;
  /** What the default bridge needs, too. */
  readonly bridgeDeps: BridgeDeps;
  readonly #deps: NetworkDriversDeps;
  readonly #own: ReadonlyMap<string, NetworkDriver>;
  #overlay: OverlayDriver | undefined;

  constructor(deps: NetworkDriversDeps) {
    const { options, home, route, table, reaper, log } = deps;
    this.#deps = deps;
    this.bridgeDeps = {
      ...deps,
      reclaim: () => reaper.reclaim(),
      bury: (name) => reaper.bury(name),
      retire: (endpoint) => reaper.retire(endpoint),
      defaultMtu: mtuOf(options),
      allowsDirectRouting: options.allowsDirectRouting ?? false,
      enableForwarding: (family) => {
        if (options.ipForward ?? true) enableForwarding(family, log);
      },
    };
    this.bridge = new BridgeDriver(this.bridgeDeps);
    const lanDeps = { home, route, table, reclaim: () => reaper.reclaim() };
    const own = [this.bridge, new LanDriver("macvlan", lanDeps), new LanDriver("ipvlan", lanDeps)];
    this.#own = new Map(own.map((driver) => [driver.name, driver]));
  }

  /** The driver of networks of several hosts, once it is open. */
  get overlay(): OverlayDriver | undefined {
    return this.#overlay;
  }

  /** Makes the driver of networks of several hosts, where there is an etcd to keep them in. @throws invalid */
  openOverlay(): void {
    const { options, home, route, table, guard, reaper } = this.#deps;
    if (options.cluster === undefined) return;
    const log = this.#deps.log.child({ part: "overlay" });
    const { endpoints, tls, user, rotationSeconds, ...member } = options.cluster;
    const cluster = new Cluster({ ...member, etcd: new Etcd({ endpoints, tls, user }), log });
    this.#overlay = new OverlayDriver({
      home,
      route,
      table,
      log,
      cluster,
      encryption: new Encryption({ cluster, guard, log, rotationSeconds }),
      reclaim: () => reaper.reclaim(),
      taken: () => hostNetworks(route),
    });
  }

  /** The driver of a name, one that is somebody else's program among them. @throws unavailable for overlay without an etcd */
  get(name: string): NetworkDriver | undefined {
    return name === OVERLAY_DRIVER ? this.#opened() : (this.#own.get(name) ?? this.#remote(name));
  }

  #opened(): OverlayDriver {
    if (this.#overlay !== undefined) return this.#overlay;
    throw new DhowError(
      "unavailable",
      'datastore for scope "global" is not initialized: overlay networks are kept in an etcd that their hosts share; start each daemon with --cluster-store etcd://host:port',
    );
  }

  #remote(name: string): NetworkDriver | undefined {
    const { options, home, route, log, reaper } = this.#deps;
    const { plugin } = options;
    if (plugin === undefined) return undefined;
    const deps = { home, route, log, reclaim: () => reaper.reclaim(), plugin: (driver: string) => plugin(driver, "NetworkDriver") };
    return new RemoteDriver(name, deps);
  }
}
