/**
 * An IPAM driver in docker's plug-in protocol: `ipam.ts SOCKET DIRECTORY`. Pools that are not asked for are 10.87.N.0/24. What it was asked is in
 * DIRECTORY/calls, what it has given in DIRECTORY/given; a method that a file DIRECTORY/hang-METHOD names never answers, one of fail-METHOD
 * answers with the file's text. DIRECTORY/mac and DIRECTORY/replay are capabilities.
 */
import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";

const [socket = "", root = ""] = process.argv.slice(2);

interface Body {
  readonly Pool?: string;
  readonly SubPool?: string;
  readonly PoolID?: string;
  readonly Address?: string;
  readonly V6?: boolean;
  readonly AddressSpace?: string;
  readonly Options?: Readonly<Record<string, string>> | null;
}

/** Pool id → subnet; `POOL ADDRESS` of what is taken. */
const pools = new Map<string, string>();
const taken = new Set<string>();
let nextPool = 1;

function free(poolId: string): string {
  const base = (pools.get(poolId) ?? "").replace(/\.0\/\d+$/, "");
  for (let n = 1; ; n++) if (!taken.has(`${poolId} ${base}.${n}`)) return `${base}.${n}`;
}

const METHODS: Readonly<Record<string, (body: Body) => object>> = {
  "Plugin.Activate": () => ({ Implements: ["IpamDriver"] }),
  "IpamDriver.GetCapabilities": () => ({
    RequiresMACAddress: existsSync(`${root}/mac`),
    RequiresRequestReplay: existsSync(`${root}/replay`),
  }),
  "IpamDriver.GetDefaultAddressSpaces": () => ({ LocalDefaultAddressSpace: "here", GlobalDefaultAddressSpace: "there" }),
  "IpamDriver.RequestPool": ({ Pool, V6, Options }) => {
    if (Options?.["bad"]) return { Error: "unknown option bad" };
    const subnet = Pool || (V6 ? "fd87::/64" : `10.87.${nextPool++}.0/24`);
    const id = `${process.pid}/${subnet}`;
    pools.set(id, subnet);
    return { PoolID: id, Pool: subnet, Data: {} };
  },
  "IpamDriver.ReleasePool": ({ PoolID = "" }) => (pools.delete(PoolID) ? {} : { Error: `no pool ${PoolID}` }),
  "IpamDriver.RequestAddress": ({ PoolID = "", Address }) => {
    if (!pools.has(PoolID)) return { Error: `no pool ${PoolID}` };
    const address = Address || (pools.get(PoolID)?.includes(":") ? `fd87::${taken.size + 1}` : free(PoolID));
    if (taken.has(`${PoolID} ${address}`)) return { Error: `${address} is taken` };
    taken.add(`${PoolID} ${address}`);
    return { Address: `${address}/${pools.get(PoolID)?.split("/")[1]}`, Data: {} };
  },
  "IpamDriver.ReleaseAddress": ({ PoolID, Address }) => (taken.delete(`${PoolID} ${Address}`) ? {} : { Error: `${Address} is not taken` }),
};

Bun.serve({
  unix: socket,
  fetch: async (request) => {
    const method = request.url.replace(/^.*\//, "");
    const text = await request.text();
    const name = method.replace("IpamDriver.", "");
    const body = (text === "" ? {} : JSON.parse(text)) as Body;
    const options = body.Options && Object.keys(body.Options).length > 0 ? JSON.stringify(body.Options) : "";
    const args = [name, body.AddressSpace, body.Pool, body.SubPool, body.PoolID?.replace(/^\d+\//, ""), body.Address, options];
    appendFileSync(`${root}/calls`, `${args.filter(Boolean).join(" ")}\n`);
    if (existsSync(`${root}/hang-${name}`)) return new Promise<Response>(() => {});
    if (existsSync(`${root}/fail-${name}`)) return Response.json({ Error: readFileSync(`${root}/fail-${name}`, "utf8") });
    const answer = METHODS[method]?.(body) ?? { Error: "what?" };
    writeFileSync(`${root}/given`, [...pools.keys(), ...taken].map((line) => line.replace(/^\d+\//, "").replace(/^\S+ /, "")).join("\n"));
    return Response.json(answer);
  },
});
process.stdout.write("ready\n");
