import { join } from "node:path";
import { DhowError, errorMessage, formatTime, KeyedMutex, type Logger, nowNs } from "../../lib/mod.ts";
import type { SocketRow, SocketsTable } from "../../metadata/mod.ts";
import {
  type AuditOptions,
  type AuditRecord,
  type EngineApi,
  type ScopedSocket,
  SOCKET_LABEL,
  type SocketCreateRequest,
  type SocketQuota,
  type SocketsApi,
} from "../../spec/engine/mod.ts";
import { AuditLog } from "./audit.ts";
import type { SocketLimits } from "./limits.ts";
import type { Engine } from "./objects.ts";
import { Quota } from "./quota.ts";
import { Access } from "./rules.ts";
import { scopedApi } from "./scoped.ts";

/** Nothing that a path, a cgroup or the name of a lease could be mistaken in. */
const NAME = /^[a-zA-Z0-9](?:[a-zA-Z0-9_-]|\.(?=[a-zA-Z0-9_-])){0,63}$/;
const QUOTA: SocketQuota = { Containers: 0, Volumes: 0, Networks: 0, Memory: 0, NanoCpus: 0, Pids: 0 };
/** Below it no container starts: docker's own least. */
const LEAST_MEMORY = 6 << 20;

/** Where a scoped socket listens, and for whom. */
export interface SocketAddress {
  readonly name: string;
  readonly path: string;
  readonly group: string;
}

/** A scoped socket that is listened at. */
export interface ServedSocket {
  /** `isGone`: no later daemon is to go on with it. */
  close(options: { readonly isGone: boolean }): Promise<void>;
}

export interface SocketsDeps {
  readonly table: SocketsTable;
  readonly engine: Engine;
  /** Listens. @throws conflict, invalid */
  readonly serve: (address: SocketAddress, api: EngineApi, onRequest: ((record: AuditRecord) => void) | undefined) => Promise<ServedSocket>;
  readonly limits: SocketLimits;
  /** Where sockets are that name no path, and where their logs go. */
  readonly socketDir: string;
  readonly auditDir: string;
  readonly log: Logger;
}

interface Entry {
  readonly socket: KeptSettings;
  readonly audit: AuditLog | undefined;
  readonly served: ServedSocket;
}

type Settings = Omit<ScopedSocket, "Containers" | "Created">;

/** What is known of a socket, whether it is served or not. */
export type KeptSettings = Omit<ScopedSocket, "Containers">;

/** The scoped sockets of the metadata, oldest first. */
export function keptSockets(table: SocketsTable): KeptSettings[] {
  return table.all().map(({ createdAt, request }) => {
    const settings = JSON.parse(request) as Settings;
    // one of an earlier version has fewer quotas
    return { ...settings, Quota: { ...QUOTA, ...settings.Quota }, Created: createdAt };
  });
}

/** The scoped sockets that there are. */
export class Sockets implements SocketsApi {
  readonly #deps: SocketsDeps;
  readonly #entries = new Map<string, Entry>();
  readonly #turns = new KeyedMutex();

  constructor(deps: SocketsDeps) {
    this.#deps = deps;
  }

  /** At the daemon's start: listens again. One that can't is said in the log, and tried again at the next start. */
  async start(): Promise<void> {
    for (const socket of keptSockets(this.#deps.table)) {
      try {
        await this.#open(socket);
      } catch (error) {
        this.#deps.log.error("scoped socket can't be listened at", { socket: socket.Name, error: errorMessage(error) });
      }
    }
  }

  /** At the daemon's end. */
  async stop(): Promise<void> {
    for (const { served, audit, socket } of this.#entries.values()) {
      await served.close({ isGone: false });
      audit?.[Symbol.dispose]();
      this.#deps.limits.remove(socket.Name);
    }
    this.#entries.clear();
  }

  create(request: SocketCreateRequest): Promise<ScopedSocket> {
    const settings = this.#settings(request);
    return this.#turns.run(settings.Name, async () => {
      const { Name } = settings;
      if (this.#deps.table.all().some(({ name }) => name === Name)) {
        throw new DhowError("conflict", `Conflict. The socket name ${JSON.stringify(Name)} is already in use`);
      }
      const row: SocketRow = { name: Name, createdAt: formatTime(nowNs()), request: JSON.stringify(settings) };
      const entry = await this.#open({ ...settings, Created: row.createdAt });
      try {
        this.#deps.table.insert(row);
      } catch (error) {
        await this.#close(entry);
        throw error;
      }
      return this.#shown(entry.socket);
    });
  }

  /** @throws invalid */
  #settings({ Name, Path = "", Allow, Quota: quota, Group = "", Audit = false, Unconfined = false }: SocketCreateRequest): Settings {
    if (!NAME.test(Name ?? "")) {
      throw new DhowError(
        "invalid",
        `Invalid socket name (${Name ?? ""}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed, and no two dots in a row`,
      );
    }
    if (Path !== "" && !Path.startsWith("/")) throw new DhowError("invalid", `invalid path of a socket: ${Path}: it must be absolute`);
    if ((Allow ?? []).length === 0) throw new DhowError("invalid", "a scoped socket needs a rule: what it does not allow is refused");
    new Access(Name, Allow ?? []);
    return {
      Name,
      Path: Path || join(this.#deps.socketDir, Name),
      Allow: Allow ?? [],
      Quota: checkedQuota(quota ?? {}),
      Group,
      Audit,
      Unconfined,
    };
  }

  async #open(socket: KeptSettings): Promise<Entry> {
    const { engine, log, auditDir, serve, limits } = this.#deps;
    const { Name: name, Path: path, Group: group } = socket;
    const access = new Access(name, socket.Allow);
    await limits.prepare(name, socket.Quota);
    const quota = new Quota(engine, name, socket.Quota, limits.pathFor(name, socket.Quota));
    const api = scopedApi(engine, { access, quota, isConfined: !socket.Unconfined });
    using undo = new DisposableStack();
    const audit = socket.Audit ? undo.use(new AuditLog(join(auditDir, `${name}.jsonl`), { log })) : undefined;
    const served = await serve({ name, path, group }, api, audit && ((record) => audit.append(record)));
    undo.move();
    const entry: Entry = { socket, audit, served };
    this.#entries.set(name, entry);
    log.info("scoped socket is served", { socket: name, path });
    return entry;
  }

  async #close({ socket, audit, served }: Entry): Promise<void> {
    this.#entries.delete(socket.Name);
    await served.close({ isGone: true });
    audit?.[Symbol.dispose]();
    this.#deps.limits.remove(socket.Name);
  }

  /** All of them, also one that could not be listened at. */
  async list(): Promise<ScopedSocket[]> {
    return Promise.all(keptSockets(this.#deps.table).map((socket) => this.#shown(socket)));
  }

  async inspect(name: string): Promise<ScopedSocket> {
    return this.#shown(this.#get(name));
  }

  remove(name: string): Promise<void> {
    return this.#turns.run(name, async () => {
      this.#get(name);
      this.#deps.table.delete(name);
      const entry = this.#entries.get(name);
      if (entry !== undefined) await this.#close(entry);
    });
  }

  async audit(name: string, options: AuditOptions): Promise<AsyncIterable<AuditRecord>> {
    this.#get(name);
    const audit = this.#entries.get(name)?.audit;
    if (audit === undefined) throw new DhowError("conflict", `socket ${name} keeps no audit log: it was created without`);
    return audit.read(options);
  }

  #get(name: string): KeptSettings {
    const socket = keptSockets(this.#deps.table).find(({ Name }) => Name === name);
    if (!socket) throw new DhowError("notFound", `No such socket: ${name}`);
    return socket;
  }

  async #shown(socket: KeptSettings): Promise<ScopedSocket> {
    const filters = { label: [`${SOCKET_LABEL}=${socket.Name}`] };
    const made = await this.#deps.engine.containers.list({ all: true, limit: 0, size: false, filters });
    return { ...socket, Containers: made.length };
  }
}

/** @throws invalid */
function checkedQuota(asked: NonNullable<SocketCreateRequest["Quota"]>): SocketQuota {
  const quota = Object.fromEntries(Object.keys(QUOTA).map((key) => [key, asked[key as keyof SocketQuota] ?? 0])) as unknown as SocketQuota;
  for (const [key, value] of Object.entries(quota)) {
    if (!Number.isSafeInteger(value) || value < 0) throw new DhowError("invalid", `invalid quota ${key}: ${value} is no number from 0 on`);
  }
  if (quota.Memory > 0 && quota.Memory < LEAST_MEMORY) throw new DhowError("invalid", "Minimum memory limit allowed is 6MB");
  if (quota.NanoCpus > 0 && quota.NanoCpus < 1e7) throw new DhowError("invalid", "invalid quota NanoCpus: the least is 0.01 processors");
  return quota;
}

/** For an engine that nobody can connect to. */
export const noSockets: SocketsApi = {
  create: () => Promise.reject(new DhowError("unsupported", "an engine in its caller's process listens nowhere")),
  list: async () => [],
  inspect: (name) => Promise.reject(new DhowError("notFound", `No such socket: ${name}`)),
  remove: (name) => Promise.reject(new DhowError("notFound", `No such socket: ${name}`)),
  audit: (name) => Promise.reject(new DhowError("notFound", `No such socket: ${name}`)),
};
