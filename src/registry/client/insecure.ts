import { lookup } from "node:dns/promises";
import { BlockList, isIP } from "node:net";

const LOOPBACK = ["127.0.0.0/8", "::1/128"];

/** The registries that may be spoken to without TLS, or with a certificate that nobody vouches for: loopback, and what the daemon is told. */
export class InsecureRegistries {
  readonly #names = new Set<string>();
  readonly #networks = new BlockList();

  /** `registry.example:5000` or `10.0.0.0/8` */
  constructor(listed: readonly string[]) {
    for (const entry of [...LOOPBACK, ...listed]) {
      const [address = "", prefix] = entry.split("/");
      const family = isIP(address);
      if (family === 0 || prefix === undefined) this.#names.add(entry.replace(/^https?:\/\//, "").replace(/\/$/, ""));
      else this.#networks.addSubnet(address, Number(prefix), family === 6 ? "ipv6" : "ipv4");
    }
  }

  /** Whether `host`, with or without a port, is one of them: by its name or by one of its addresses. */
  async includes(host: string): Promise<boolean> {
    if (this.#names.has(host)) return true;
    const name = host.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");
    return (await addressesOf(name)).some((address) => this.#networks.check(address, isIP(address) === 6 ? "ipv6" : "ipv4"));
  }
}

async function addressesOf(name: string): Promise<string[]> {
  if (isIP(name) !== 0) return [name];
  try {
    return (await lookup(name, { all: true })).map(({ address }) => address);
  } catch {
    return [];
  }
}
