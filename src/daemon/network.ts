import { type ClusterSettings, Networking } from "../network/mod.ts";
import { advertisedAddress, type ClusterConfig } from "./cluster.ts";
import { clusterAccess } from "./cluster-access.ts";
import type { DaemonConfig } from "./config.ts";
import type { EngineBase, Stores } from "./parts.ts";

/** @throws invalid */
async function clusterSettings(config: ClusterConfig, hostId: string): Promise<ClusterSettings> {
  const { endpoints, heartbeatSeconds, ttlSeconds, rotationSeconds, path: root } = config;
  const vtep = await advertisedAddress(config);
  return { endpoints, ...(await clusterAccess(config)), vtep, hostId, heartbeatSeconds, ttlSeconds, rotationSeconds, root };
}

/** @throws what keeps the daemon from starting */
export async function startNetwork(
  config: DaemonConfig,
  { db, id, daemonId, plugins }: Stores,
  { log, stack }: EngineBase,
): Promise<Networking> {
  const network = new Networking({
    db,
    log,
    bridgeName: config.bridge,
    tableName: config.bridge === "none" ? `dhow-${daemonId}` : config.bridge,
    bip: config.bip,
    defaultGateways: config.defaultGateways,
    fixedCidr: config.fixedCidr,
    bip6: config.bip6,
    fixedCidrV6: config.fixedCidrV6,
    hasIpv6: config.hasIpv6,
    ipMasq: config.isMasquerading,
    allowsDirectRouting: config.allowsDirectRouting,
    acceptMark: config.acceptMark,
    defaultHostIp: config.defaultHostIp,
    hostGatewayIps: config.hostGatewayIps,
    ulaSeed: daemonId,
    defaultNetworkOptions: config.defaultNetworkOptions,
    plugin: (name, kind) => plugins.get(name, kind),
    cluster: config.cluster && (await clusterSettings(config.cluster, id)),
    mtu: config.mtu,
    ipForward: config.isIpForward,
    icc: config.areContainersConnected,
    defaultAddressPools: config.defaultAddressPools.length > 0 ? config.defaultAddressPools : undefined,
    poolSize: config.sandboxPool,
  });
  await network.start();
  stack.defer(() => network.stop({ removeAll: true }));
  return network;
}
