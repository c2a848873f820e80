import { containerMigrations } from "./containers.ts";
import type { Migration } from "./database.ts";

export * from "./containers.ts";
export * from "./database.ts";

/** Every step of the schema, in the order in which they are applied; each table's owner adds its own here. */
export const MIGRATIONS: readonly Migration[] = [...containerMigrations];
