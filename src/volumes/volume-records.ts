import type { VolumeRow, VolumesTable } from "../metadata/mod.ts";
import { LOCAL_DRIVER } from "./local-driver.ts";
import type { LocalVolumes } from "./local-volumes.ts";
import type { LocalVolume, StringMap, VolumeRequest } from "./volume.ts";

export interface VolumeRecordsDeps {
  readonly table: VolumesTable;
  readonly local: LocalVolumes;
  readonly now: () => Date;
}

/** The volumes that are known here, each a row. */
export class VolumeRecords {
  readonly #deps: VolumeRecordsDeps;

  constructor(deps: VolumeRecordsDeps) {
    this.#deps = deps;
  }

  /** The volume of that name, or undefined. */
  get(name: string): LocalVolume | undefined {
    const row = this.#deps.table.get(name);
    return row && this.#volumeOf(row);
  }

  /** All of them, by name. */
  list(): LocalVolume[] {
    return this.#deps.table.list().map((row) => this.#volumeOf(row));
  }

  /** The row of a volume that is being made, for `insert`. */
  rowOf({ name, labels, options }: VolumeRequest & { readonly name: string }, driver: string): VolumeRow {
    return {
      name,
      driver,
      createdAt: this.#deps
        .now()
        .toISOString()
        .replace(/\.\d+Z$/, "Z"),
      labels: labels ? JSON.stringify(labels) : null,
      options: options ? JSON.stringify(options) : null,
    };
  }

  /** Makes a volume known. @throws conflict when its name is taken */
  insert(row: VolumeRow): LocalVolume {
    this.#deps.table.insert(row);
    return this.#volumeOf(row);
  }

  /** Forgets a volume; an unknown one is fine. */
  delete(name: string): void {
    this.#deps.table.delete(name);
  }

  #volumeOf(row: VolumeRow): LocalVolume {
    return {
      name: row.name,
      driver: row.driver,
      createdAt: row.createdAt,
      labels: row.labels === null ? null : (JSON.parse(row.labels) as StringMap),
      options: row.options === null ? null : (JSON.parse(row.options) as StringMap),
      path: row.driver === LOCAL_DRIVER ? this.#deps.local.path(row.name) : "",
      scope: "local",
    };
  }
}
