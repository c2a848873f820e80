import type { Database, Migration } from "./database.ts";

/** The schema of networks and of the sandboxes that containers hold. */
export const endpointMigrations: readonly Migration[] = [
  {
    id: "endpoints-1",
    sql: `
      CREATE TABLE networks (name TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, driver TEXT NOT NULL, created_at TEXT NOT NULL, subnet TEXT) WITHOUT ROWID;
      CREATE TABLE endpoints (
        container_id TEXT PRIMARY KEY, endpoint_id TEXT NOT NULL, sandbox_id TEXT NOT NULL, network TEXT NOT NULL,
        ip_address TEXT, mac_address TEXT, host_interface TEXT, ports TEXT NOT NULL
      ) WITHOUT ROWID;
    `,
  },
  { id: "endpoints-2", sql: "CREATE TABLE bridges (name TEXT PRIMARY KEY, mac TEXT NOT NULL) WITHOUT ROWID;" },
  {
    id: "endpoints-3",
    sql: `
      CREATE TABLE user_networks (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, config TEXT NOT NULL) WITHOUT ROWID;
      CREATE TABLE sandboxes (container_id TEXT PRIMARY KEY, sandbox_id TEXT NOT NULL, details TEXT NOT NULL) WITHOUT ROWID;
      CREATE TABLE plugs (
        container_id TEXT NOT NULL, network_id TEXT NOT NULL, endpoint_id TEXT NOT NULL, details TEXT NOT NULL,
        PRIMARY KEY (container_id, network_id)
      ) WITHOUT ROWID;
      INSERT INTO sandboxes SELECT container_id, sandbox_id, ports FROM endpoints;
      INSERT INTO plugs
        SELECT container_id, n.id, endpoint_id, json_object(
          'interfaceName', 'eth0', 'index', 2, 'ipv4', ip_address, 'mac', mac_address, 'hostInterface', host_interface
        ) FROM endpoints AS e JOIN networks AS n ON n.name = e.network;
      DROP TABLE endpoints;
    `,
  },
  {
    id: "endpoints-4",
    sql: "CREATE TABLE plugging (container_id TEXT NOT NULL, interface TEXT NOT NULL, PRIMARY KEY (container_id, interface)) WITHOUT ROWID;",
  },
];

/** A network that every daemon has: bridge, host, none. */
export interface NetworkRow {
  readonly name: string;
  readonly id: string;
  readonly driver: string;
  /** RFC 3339. */
  readonly created_at: string;
  /** `172.17.0.0/16`; null for networks without addresses. */
  readonly subnet: string | null;
}

/** A network that somebody created. */
export interface UserNetworkRow {
  readonly id: string;
  readonly name: string;
  /** JSON, the room network's own form. */
  readonly config: string;
}

/** A container's place on the network as a whole, from its start to its exit. */
export interface SandboxRow {
  readonly container_id: string;
  readonly sandbox_id: string;
  /** JSON, the room network's own form. */
  readonly details: string;
}

/** A container's endpoint on one network. */
export interface EndpointRow {
  readonly container_id: string;
  readonly network_id: string;
  readonly endpoint_id: string;
  /** JSON, the room network's own form. */
  readonly details: string;
}

/** The rows of networks, sandboxes and endpoints. */
export class EndpointsTable {
  readonly #db;
  readonly #putSandbox;
  readonly #putEndpoint;
  readonly #removeSandbox;
  readonly #removeEndpoint;
  readonly #removeEndpoints;
  readonly #sandboxes;
  readonly #endpoints;
  readonly #plugging;
  readonly #notePlugging;
  readonly #forgetPlugging;
  readonly #networks;
  readonly #putNetwork;
  readonly #userNetworks;
  readonly #putUserNetwork;
  readonly #removeUserNetwork;
  readonly #bridgeMac;
  readonly #bridges;
  readonly #putBridge;
  readonly #removeBridge;

  constructor(db: Database) {
    const { sqlite } = db;
    this.#db = db;
    this.#putSandbox = sqlite.query<void, [string, string, string]>(
      "INSERT OR REPLACE INTO sandboxes (container_id, sandbox_id, details) VALUES (?, ?, ?)",
    );
    this.#putEndpoint = sqlite.query<void, [string, string, string, string]>(
      "INSERT OR REPLACE INTO plugs (container_id, network_id, endpoint_id, details) VALUES (?, ?, ?, ?)",
    );
    this.#removeSandbox = sqlite.query<void, [string]>("DELETE FROM sandboxes WHERE container_id = ?");
    this.#removeEndpoint = sqlite.query<void, [string, string]>("DELETE FROM plugs WHERE container_id = ? AND network_id = ?");
    this.#removeEndpoints = sqlite.query<void, [string]>("DELETE FROM plugs WHERE container_id = ?");
    this.#sandboxes = sqlite.query<SandboxRow, []>("SELECT * FROM sandboxes ORDER BY container_id");
    this.#endpoints = sqlite.query<EndpointRow, []>("SELECT * FROM plugs ORDER BY container_id, network_id");
    this.#plugging = sqlite.query<{ readonly interface: string }, [string]>("SELECT interface FROM plugging WHERE container_id = ?");
    this.#notePlugging = sqlite.query<void, [string, string]>("INSERT OR REPLACE INTO plugging (container_id, interface) VALUES (?, ?)");
    this.#forgetPlugging = sqlite.query<void, [string]>("DELETE FROM plugging WHERE container_id = ?");
    this.#networks = sqlite.query<NetworkRow, []>("SELECT * FROM networks ORDER BY name");
    this.#putNetwork = sqlite.query<void, [string, string, string, string, string | null]>(
      "INSERT OR REPLACE INTO networks (name, id, driver, created_at, subnet) VALUES (?, ?, ?, ?, ?)",
    );
    this.#userNetworks = sqlite.query<UserNetworkRow, []>("SELECT * FROM user_networks ORDER BY name");
    this.#putUserNetwork = sqlite.query<void, [string, string, string]>(
      "INSERT OR REPLACE INTO user_networks (id, name, config) VALUES (?, ?, ?)",
    );
    this.#removeUserNetwork = sqlite.query<void, [string]>("DELETE FROM user_networks WHERE id = ?");
    this.#bridgeMac = sqlite.query<{ readonly mac: string }, [string]>("SELECT mac FROM bridges WHERE name = ?");
    this.#bridges = sqlite.query<{ readonly name: string; readonly mac: string }, []>("SELECT name, mac FROM bridges ORDER BY name");
    this.#putBridge = sqlite.query<void, [string, string]>("INSERT OR REPLACE INTO bridges (name, mac) VALUES (?, ?)");
    this.#removeBridge = sqlite.query<void, [string]>("DELETE FROM bridges WHERE name = ?");
  }

  /** Puts a container's sandbox in with all its endpoints; what it had is replaced. `also` writes in the same transaction. */
  put(sandbox: SandboxRow, endpoints: readonly EndpointRow[], also: () => void = () => {}): void {
    this.#db.transaction(() => {
      also();
      this.#removeEndpoints.run(sandbox.container_id);
      this.#forgetPlugging.run(sandbox.container_id);
      this.#putSandbox.run(sandbox.container_id, sandbox.sandbox_id, sandbox.details);
      for (const e of endpoints) this.#putEndpoint.run(e.container_id, e.network_id, e.endpoint_id, e.details);
    });
  }

  /** Takes a container's sandbox and endpoints out; none: nothing. */
  remove(containerId: string): void {
    this.#db.transaction(() => {
      this.#removeSandbox.run(containerId);
      this.#removeEndpoints.run(containerId);
      this.#forgetPlugging.run(containerId);
    });
  }

  /** Puts one endpoint in; one that the container had on that network is replaced. */
  putEndpoint(row: EndpointRow): void {
    this.#putEndpoint.run(row.container_id, row.network_id, row.endpoint_id, row.details);
  }

  /** Takes one endpoint out; none: nothing. */
  removeEndpoint(containerId: string, networkId: string): void {
    this.#removeEndpoint.run(containerId, networkId);
  }

  /** Notes that an interface of a container is about to be made or taken away: until then, after a crash, it is to go. */
  notePlugging(containerId: string, name: string): void {
    this.#notePlugging.run(containerId, name);
  }

  /** What is noted of a container's interfaces is done, or undone. `put` and `remove` do the same. */
  forgetPlugging(containerId: string): void {
    this.#forgetPlugging.run(containerId);
  }

  /** Names of the interfaces of a container that were being made or taken away. */
  plugging(containerId: string): string[] {
    return this.#plugging.all(containerId).map((row) => row.interface);
  }

  sandboxes(): SandboxRow[] {
    return this.#sandboxes.all();
  }

  endpoints(): EndpointRow[] {
    return this.#endpoints.all();
  }

  networks(): NetworkRow[] {
    return this.#networks.all();
  }

  putNetwork(row: NetworkRow): void {
    this.#putNetwork.run(row.name, row.id, row.driver, row.created_at, row.subnet);
  }

  userNetworks(): UserNetworkRow[] {
    return this.#userNetworks.all();
  }

  putUserNetwork(row: UserNetworkRow): void {
    this.#putUserNetwork.run(row.id, row.name, row.config);
  }

  removeUserNetwork(id: string): void {
    this.#removeUserNetwork.run(id);
  }

  /** MAC address that this daemon gave a bridge when it made it; undefined for one that it did not make. */
  bridgeMac(name: string): string | undefined {
    return this.#bridgeMac.get(name)?.mac;
  }

  /** All bridges that this daemon made. */
  bridges(): { readonly name: string; readonly mac: string }[] {
    return this.#bridges.all();
  }

  /** Notes a bridge as made by this daemon. */
  putBridge(name: string, mac: string): void {
    this.#putBridge.run(name, mac);
  }

  removeBridge(name: string): void {
    this.#removeBridge.run(name);
  }
}
