import { DhowError } from "../../lib/mod.ts";
import { LEASE_LABEL, type Lease, type LeasesApi } from "../../spec/engine/mod.ts";
import type { CheckLease } from "./create.ts";
import type { Objects } from "./objects.ts";

/** The leases that were made through a socket. They have no labels: the engine knows them as `<socket>..<name>`, which no socket is called. */
export function scopedLeases(objects: Objects): LeasesApi {
  const { access, engine } = objects;
  const { leases } = engine;
  const prefix = `${access.socket}..`;
  const shown = (lease: Lease): Lease => ({ ...lease, Name: lease.Name.slice(prefix.length) });
  const own = async (): Promise<Lease[]> => (await leases.list()).filter(({ Name }) => Name.startsWith(prefix)).map(shown);
  const find = async (ref: string): Promise<string> => {
    const all = await own();
    const exact = all.find(({ Id, Name }) => Id === ref || Name === ref);
    if (exact) return exact.Id;
    const found = /^[0-9a-f]+$/.test(ref) ? all.filter(({ Id }) => Id.startsWith(ref)) : [];
    if (found.length > 1) throw new DhowError("invalid", `multiple IDs found with provided prefix: ${ref}`);
    if (!found[0]) throw new DhowError("notFound", `No such lease: ${ref}`);
    return found[0].Id;
  };
  return {
    create: async (request) => {
      access.require("leases", "create");
      // whether a process is there is the host's to know
      if (objects.isConfined && request.Pid) throw access.refusal("a lease with Pid");
      const name = request.Name || crypto.randomUUID().replaceAll("-", "").slice(0, 12);
      return shown(await leases.create({ ...request, Name: `${prefix}${name}` }));
    },
    list: async () => {
      access.require("leases", "read");
      return own();
    },
    inspect: async (ref) => {
      access.require("leases", "read");
      return shown(await leases.inspect(await find(ref)));
    },
    renew: async (ref, ttl) => {
      access.require("leases", "create");
      return shown(await leases.renew(await find(ref), ttl));
    },
    addImage: async (ref, image) => {
      access.require("leases", "create");
      await objects.image(image, "remove");
      return leases.addImage(await find(ref), image);
    },
    hold: async (ref, options) => {
      access.require("leases", "create");
      const held = await leases.hold(await find(ref), options);
      return (async function* () {
        for await (const lease of held) yield shown(lease);
      })();
    },
    remove: async (ref, options) => {
      access.require("leases", "remove");
      return leases.remove(await find(ref), options);
    },
  };
}

/** Labels that name a lease name one of the socket's. */
export function leaseCheck(objects: Objects): CheckLease {
  const leases = scopedLeases(objects);
  return async (labels) => {
    const id = labels?.[LEASE_LABEL];
    if (id === undefined) return;
    if (!objects.access.may("leases", "read") || !(await leases.list()).some(({ Id }) => Id === id)) {
      throw new DhowError("invalid", `No such lease: ${id}`);
    }
  };
}
