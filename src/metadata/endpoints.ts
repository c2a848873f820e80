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
];

export interface NetworkRow {
  readonly name: string;
  readonly id: string;
  readonly driver: string;
  /** RFC 3339. */
  readonly created_at: string;
  /** `172.17.0.0/16`; null for networks without addresses. */
  readonly subnet: string | null;
}

/** What a container holds of a network, from its start to its exit. */
export interface EndpointRow {
  readonly container_id: string;
  readonly endpoint_id: string;
  readonly sandbox_id: string;
  /** Name of the network. */
  readonly network: string;
  readonly ip_address: string | null;
  readonly mac_address: string | null;
  /** Name of the interface on the host's side. */
  readonly host_interface: string | null;
  /** JSON, the port map's own form. */
  readonly ports: string;
}

/** The rows of networks and endpoints. */
export class EndpointsTable {
  readonly #insert;
  readonly #remove;
  readonly #all;
  readonly #networks;
  readonly #putNetwork;
  readonly #bridgeMac;
  readonly #putBridge;
  readonly #removeBridge;

  constructor(db: Database) {
    const { sqlite } = db;
    this.#insert = sqlite.query<void, [string, string, string, string, string | null, string | null, string | null, string]>(
      "INSERT OR REPLACE INTO endpoints (container_id, endpoint_id, sandbox_id, network, ip_address, mac_address, host_interface, ports) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    );
    this.#remove = sqlite.query<void, [string]>("DELETE FROM endpoints WHERE container_id = ?");
    this.#all = sqlite.query<EndpointRow, []>("SELECT * FROM endpoints ORDER BY container_id");
    this.#networks = sqlite.query<NetworkRow, []>("SELECT * FROM networks ORDER BY name");
    this.#putNetwork = sqlite.query<void, [string, string, string, string, string | null]>(
      "INSERT OR REPLACE INTO networks (name, id, driver, created_at, subnet) VALUES (?, ?, ?, ?, ?)",
    );
    this.#bridgeMac = sqlite.query<{ readonly mac: string }, [string]>("SELECT mac FROM bridges WHERE name = ?");
    this.#putBridge = sqlite.query<void, [string, string]>("INSERT OR REPLACE INTO bridges (name, mac) VALUES (?, ?)");
    this.#removeBridge = sqlite.query<void, [string]>("DELETE FROM bridges WHERE name = ?");
  }

  /** Puts a container's endpoint in; one that it had is replaced. */
  put(row: EndpointRow): void {
    this.#insert.run(
      row.container_id,
      row.endpoint_id,
      row.sandbox_id,
      row.network,
      row.ip_address,
      row.mac_address,
      row.host_interface,
      row.ports,
    );
  }

  /** Takes a container's endpoint out; none: nothing. */
  remove(containerId: string): void {
    this.#remove.run(containerId);
  }

  list(): EndpointRow[] {
    return this.#all.all();
  }

  networks(): NetworkRow[] {
    return this.#networks.all();
  }

  putNetwork(row: NetworkRow): void {
    this.#putNetwork.run(row.name, row.id, row.driver, row.created_at, row.subnet);
  }

  /** MAC address that this daemon gave a bridge when it made it; undefined for one that it did not make. */
  bridgeMac(name: string): string | undefined {
    return this.#bridgeMac.get(name)?.mac;
  }

  /** Notes a bridge as made by this daemon. */
  putBridge(name: string, mac: string): void {
    this.#putBridge.run(name, mac);
  }

  removeBridge(name: string): void {
    this.#removeBridge.run(name);
  }
}
