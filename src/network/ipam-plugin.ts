import { DhowError } from "../lib/mod.ts";
import type { Plugin } from "../plugins/mod.ts";
import type { InterfaceAddress } from "./drivers/driver.ts";
import { type Family, formatIp, formatPrefix, type Prefix, parseIp, parsePrefix } from "./ip.ts";

/** The kind of plug-in that gives out subnets and addresses. */
export const IPAM_DRIVER = "IpamDriver" as const;
/** What an address is for, among the options of a request: a gateway's. */
const GATEWAY = "com.docker.network.gateway";
const GATEWAY_OPTIONS = { RequestAddressType: GATEWAY };
const MAC_OPTION = "com.docker.network.endpoint.macaddress";

/** What a plug-in wants to be asked, and how. */
export interface IpamCapabilities {
  /** Who takes an address tells its MAC address. */
  readonly needsMac: boolean;
  /** It is told again at each start of the daemon what is in use. */
  readonly needsReplay: boolean;
}

/** A pool to be. Empty texts: the plug-in's choice. */
export interface IpamPoolRequest {
  readonly addressSpace: string;
  readonly subnet: string;
  readonly ipRange: string;
  readonly options: Readonly<Record<string, string>>;
  readonly family: Family;
  /** Of a network of several hosts: whichever of them removes it gives the pool back. */
  readonly isShared?: boolean | undefined;
}

/** A pool that a plug-in gave. */
export interface PluginPool {
  readonly poolId: string;
  readonly subnet: string;
  /** The gateway, where the plug-in says one by itself. */
  readonly gateway: string | undefined;
}

/** What an address is asked for. */
export interface IpamAddressRequest {
  /** Empty: any. */
  readonly wanted: string;
  readonly isGateway?: boolean;
  /** `02:42:…`, for plug-ins that want to know. */
  readonly mac?: string | undefined;
}

/**
 * A program that gives out subnets and addresses, over docker's plug-in protocol. Each call throws what `Plugin.call` does, and internal
 * `remote: TEXT` for what the plug-in refuses.
 * @see libnetwork/docs/ipam.md of moby v28
 */
export class IpamPlugin {
  readonly #plugin: Plugin;

  constructor(plugin: Plugin) {
    this.#plugin = plugin;
  }

  /** One that doesn't know the question wants nothing. */
  async capabilities(): Promise<IpamCapabilities> {
    try {
      const { RequiresMACAddress, RequiresRequestReplay } = await this.#call("GetCapabilities", {});
      return { needsMac: RequiresMACAddress === true, needsReplay: RequiresRequestReplay === true };
    } catch (error) {
      if (!isAnswered(error)) throw error;
      return { needsMac: false, needsReplay: false };
    }
  }

  async addressSpace(scope: "local" | "global"): Promise<string> {
    const spaces = await this.#call("GetDefaultAddressSpaces", {});
    return textOf(spaces, scope === "local" ? "LocalDefaultAddressSpace" : "GlobalDefaultAddressSpace");
  }

  async requestPool({ addressSpace, subnet, ipRange, options, family }: IpamPoolRequest): Promise<PluginPool> {
    const answer = await this.#call("RequestPool", {
      AddressSpace: addressSpace,
      Pool: subnet,
      SubPool: ipRange,
      Options: options,
      V6: family === 6,
    });
    const poolId = textOf(answer, "PoolID");
    try {
      const prefix = this.#prefix("RequestPool", textOf(answer, "Pool"), family);
      return { poolId, subnet: formatPrefix(prefix), gateway: this.#gatewayOf(answer, prefix.family) };
    } catch (error) {
      await this.releasePool(poolId).catch(() => {});
      throw error;
    }
  }

  /** @throws invalid in docker's words */
  #gatewayOf({ Data }: Readonly<Record<string, unknown>>, family: Family): string | undefined {
    const text = typeof Data === "object" && Data !== null ? textOf(Data as Record<string, unknown>, GATEWAY) : "";
    if (text === "") return undefined;
    try {
      const { address, family: own } = parsePrefix(text);
      if (own !== family) throw new DhowError("invalid", `want IPv${family}`);
      return formatIp({ family, value: address });
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : cause;
      throw new DhowError("invalid", `failed to parse gateway address (${text}) returned by ipam driver: ${reason}`, { cause });
    }
  }

  async releasePool(poolId: string): Promise<void> {
    await this.#call("ReleasePool", { PoolID: poolId });
  }

  async requestAddress(poolId: string, family: Family, { wanted, isGateway, mac }: IpamAddressRequest): Promise<InterfaceAddress> {
    const answer = await this.#call("RequestAddress", {
      PoolID: poolId,
      Address: wanted,
      Options: { ...(isGateway && GATEWAY_OPTIONS), ...(mac !== undefined && { [MAC_OPTION]: mac }) },
    });
    const text = textOf(answer, "Address");
    if (text === "") throw new DhowError("internal", "no address returned");
    const { address, length } = this.#prefix("RequestAddress", text, family);
    return { address: formatIp({ family, value: address }), prefixLength: length };
  }

  async releaseAddress(poolId: string, address: string): Promise<void> {
    await this.#call("ReleaseAddress", { PoolID: poolId, Address: formatIp(parseIp(address)) });
  }

  #prefix(method: string, text: string, family: Family): Prefix {
    try {
      const prefix = parsePrefix(text);
      if (prefix.family === family) return prefix;
    } catch {}
    throw new DhowError(
      "internal",
      `${IPAM_DRIVER}.${method}: plugin ${JSON.stringify(this.#plugin.name)} answers ${JSON.stringify(text)}: want an IPv${family} address with its prefix length`,
    );
  }

  async #call(method: string, body: object): Promise<Readonly<Record<string, unknown>>> {
    const answer = await this.#plugin.call(`${IPAM_DRIVER}.${method}`, body);
    const refused = textOf(answer, "Error");
    if (refused !== "") throw new DhowError("internal", `remote: ${refused}`, { details: { status: 200 } });
    return answer;
  }
}

/** Whether an error is what a plug-in said, and not that it said nothing. */
export function isAnswered(error: unknown): boolean {
  return error instanceof DhowError && typeof error.details["status"] === "number";
}

function textOf(answer: Readonly<Record<string, unknown>>, key: string): string {
  const value = answer[key];
  return typeof value === "string" ? value : "";
}
