import type { Logger } from "../lib/mod.ts";
import { isLoopback, readHostResolvConf } from "./container-files.ts";
import type { DnsServer } from "./dns/dns-server.ts";
import { type Prefix, prefixOf, tryIpBytes, tryParseIp } from "./ip.ts";

export interface HostServersDeps {
  /** The host's resolv.conf, where it is not its own. */
  readonly resolvConf: string | undefined;
  readonly dns: DnsServer;
  readonly log: Logger;
}

/** The name servers that the host asks. */
export class HostServers {
  readonly #deps: HostServersDeps;
  /** Where containers of the default bridge ask instead, who can't reach those of the host's loopback. */
  #servedAt: string | undefined;

  constructor(deps: HostServersDeps) {
    this.#deps = deps;
  }

  get servedAt(): string | undefined {
    return this.#servedAt;
  }

  list(): readonly string[] {
    return readHostResolvConf(this.#deps.resolvConf).nameservers;
  }

  /** Those that containers reach, as networks of one address: no subnet is to hide them. */
  networks(): Prefix[] {
    return this.list().flatMap((text) => {
      const ip = tryParseIp(text);
      return ip === undefined || isLoopback(text) ? [] : prefixOf(ip, ip.family === 4 ? 32 : 128);
    });
  }

  /** Serves names at the default bridge's address when containers can't reach the host's servers, which are all on its own loopback. */
  serveAt(address: string): void {
    const { dns, log } = this.#deps;
    const bytes = tryIpBytes(address);
    const servers = this.list();
    if (bytes === undefined || servers.some((s) => !isLoopback(s) && tryParseIp(s)?.family === 4)) return;
    const own = servers.filter((s) => s.startsWith("127."));
    const upstreams = (own.length > 0 ? own : ["127.0.0.1"]).map((upstream) => ({ address: upstream, isFromHost: true }));
    this.#servedAt = address;
    try {
      dns.openOnHost(bytes, () => upstreams);
    } catch (error) {
      // one who listens on all addresses serves this one as well
      log.warn("dns is served by somebody else", { address, error });
    }
  }
}
