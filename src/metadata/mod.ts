import { containerMigrations } from "./containers.ts";
import type { Migration } from "./database.ts";
import { endpointMigrations } from "./endpoints.ts";
import { imageMigrations } from "./images.ts";
import { ipamGrantMigrations } from "./ipam-grants.ts";
import { layerMigrations } from "./layers.ts";
import { leaseMigrations } from "./leases.ts";
import { socketMigrations } from "./sockets.ts";
import { volumeMigrations } from "./volumes.ts";

export * from "./containers.ts";
export * from "./database.ts";
export * from "./endpoints.ts";
export * from "./images.ts";
export * from "./ipam-grants.ts";
export * from "./layers.ts";
export * from "./leases.ts";
export * from "./sockets.ts";
export * from "./volumes.ts";

/** Every step of the schema, in the order in which they are applied; each table's owner adds its own here. */
export const MIGRATIONS: readonly Migration[] = [
  ...containerMigrations,
  ...imageMigrations,
  ...layerMigrations,
  ...volumeMigrations,
  ...endpointMigrations,
  ...leaseMigrations,
  ...socketMigrations,
  ...ipamGrantMigrations,
];
