import { type Defect, DhowError, formatTime, parseDuration, parseTime } from "../../lib/mod.ts";
import type { LeaseRow, LeasesTable } from "../../metadata/mod.ts";
import { type Filters, LEASE_LABEL, type Lease, TTL_LABEL } from "../../spec/engine/mod.ts";

/** A lease in memory; `row` is replaced, never changed in place. */
export interface LeaseEntry {
  row: LeaseRow;
  /** Connections that hold it. */
  holders: number;
  /** Settles when it has ended, with everything that belonged to it. */
  readonly ended: PromiseWithResolvers<void>;
}

/** The labels of an object that is about to be made. */
export type Labels = Readonly<Record<string, string>> | null | undefined;

/** The time to live that labels ask for, in milliseconds; undefined = none. @throws invalid */
export function ttlOf(labels: Labels): number | undefined {
  const text = labels?.[TTL_LABEL];
  if (text === undefined) return undefined;
  return parseTtl(text, `label ${TTL_LABEL}`);
}

/** A time to live in milliseconds. @throws invalid when it is no duration above zero */
export function parseTtl(text: string, what: string): number {
  const ns = parseDuration(text);
  if (ns === undefined || ns <= 0n) {
    throw new DhowError("invalid", `invalid ${what} ${JSON.stringify(text)}: must be a duration above zero, such as 10m`);
  }
  return Number(ns / 1_000_000n);
}

/** When an object made at `created` (RFC 3339) is to go, in milliseconds since the epoch. */
export function deadlineOf(created: string, ttlMs: number): number {
  return Number((parseTime(created) ?? 0n) / 1_000_000n) + ttlMs;
}

/** The leases that there are: in memory, every change written through. */
export class LeaseBook {
  readonly #table: LeasesTable;
  readonly #byId = new Map<string, LeaseEntry>();

  constructor(table: LeasesTable) {
    this.#table = table;
    for (const row of table.all()) this.#byId.set(row.id, { row, holders: 0, ended: Promise.withResolvers() });
  }

  /** @throws conflict when the name is taken */
  add(row: LeaseRow): LeaseEntry {
    if (this.list().some((entry) => entry.row.name === row.name)) {
      throw new DhowError("conflict", `Conflict. The lease name ${JSON.stringify(row.name)} is already in use`);
    }
    this.#table.put(row);
    const entry: LeaseEntry = { row, holders: 0, ended: Promise.withResolvers() };
    this.#byId.set(row.id, entry);
    return entry;
  }

  change(entry: LeaseEntry, change: Partial<LeaseRow>): void {
    const row = { ...entry.row, ...change };
    this.#table.put(row);
    entry.row = row;
  }

  /** Notes that a lease is ending, also when the disk takes no note of it. */
  end(entry: LeaseEntry): void {
    const row = { ...entry.row, ending: 1 };
    entry.row = row;
    this.#table.put(row);
  }

  /** Forgets a lease that has ended. */
  delete(entry: LeaseEntry): void {
    this.#table.delete(entry.row.id);
    this.#byId.delete(entry.row.id);
    entry.ended.resolve();
  }

  /** Leases that the database has lost, and rows of it that are of none. */
  defects(): Defect[] {
    const rows = new Set(this.#table.all().map((row) => row.id));
    const lost = [...this.#byId.values()].filter(({ row }) => !rows.has(row.id));
    const stray = [...rows].filter((id) => !this.#byId.has(id));
    return [
      ...lost.map((entry) => ({ what: `lease ${entry.row.id} is not in the database`, mend: () => this.#table.put(entry.row) })),
      ...stray.map((id) => ({ what: `the database has a lease ${id} that is not there`, mend: () => this.#table.delete(id) })),
    ];
  }

  /** Oldest first. */
  list(): LeaseEntry[] {
    return [...this.#byId.values()];
  }

  /** By id, name, or unique prefix of an id; one that is ending is gone already. @throws notFound, invalid when ambiguous */
  get(ref: string): LeaseEntry {
    const all = this.list().filter((entry) => entry.row.ending === 0);
    const exact = all.find(({ row }) => row.id === ref || row.name === ref);
    if (exact) return exact;
    const found = /^[0-9a-f]+$/.test(ref) ? all.filter(({ row }) => row.id.startsWith(ref)) : [];
    if (found.length > 1) throw new DhowError("invalid", `multiple IDs found with provided prefix: ${ref}`);
    if (!found[0]) throw new DhowError("notFound", `No such lease: ${ref}`);
    return found[0];
  }

  /** Whether objects with these labels may be made: what they name as their owner is there. @throws invalid */
  check(labels: Labels): void {
    ttlOf(labels);
    const lease = labels?.[LEASE_LABEL];
    if (lease !== undefined && this.#byId.get(lease)?.row.ending !== 0) {
      // no 404: clients would take the image for missing
      throw new DhowError("invalid", `No such lease: ${lease}`);
    }
  }

  /** The name of a lease in force that an image belongs to, by one of its names or by its labels. */
  leaseOfImage(names: readonly string[], labels: Labels): string | undefined {
    const label = labels?.[LEASE_LABEL];
    const owner = this.list().find(
      ({ row }) => row.ending === 0 && (row.id === label || (JSON.parse(row.images) as string[]).some((name) => names.includes(name))),
    );
    return owner?.row.name;
  }

  /** Whether the lease of this id is in force. */
  isInForce(id: string): boolean {
    return this.#byId.get(id)?.row.ending === 0;
  }
}

/** The filters that a lease has in any case. */
export function ownFilters(id: string): Filters[] {
  return [{ label: [`${LEASE_LABEL}=${id}`] }];
}

/** A lease in the form of the API. */
export function leaseDto({ row, holders }: LeaseEntry): Lease {
  return {
    Id: row.id,
    Name: row.name,
    Created: row.createdAt,
    Expires: row.expiresMs === null ? "" : formatTime(BigInt(row.expiresMs) * 1_000_000n),
    Pid: row.pid,
    Hold: row.hold === 1,
    GraceSeconds: row.graceS,
    Holders: holders,
    Filters: JSON.parse(row.filters) as Filters[],
    Images: JSON.parse(row.images) as string[],
  };
}
