import { type Defect, DhowError } from "../../lib/mod.ts";
import {
  type AutoUserns,
  allocateMappings,
  type IdMappings,
  isAutoUserns,
  joinedContainer,
  parseAutoUserns,
  readIdPool,
  validateUserns,
} from "../../runtime/mod.ts";
import type { ContainerCreateRequest, HostConfig } from "../../spec/engine/mod.ts";
import { networkMode } from "./container.ts";
import type { ContainerStore } from "./store.ts";

/** Does what `--userns=auto` does, for command lines that refuse to send that. */
export const USERNS_LABEL = "dhow.userns";

export interface UsernsSettings {
  /** `--userns-remap`: of every container that asks for nothing else. */
  readonly remap: IdMappings | "auto" | undefined;
  /** `--userns-pool`: where mappings of a container's own come from. */
  readonly pool: string;
}

/**
 * The user namespace mode that a request asks for, by HostConfig or by its label. An image's labels are no requests.
 * @throws invalid when the two say different things, or the label anything but `auto`
 */
export function requestedUserns(request: ContainerCreateRequest): string {
  const mode = request.HostConfig?.UsernsMode ?? "";
  const label = request.Labels?.[USERNS_LABEL];
  if (label === undefined || label === mode) return mode;
  if (mode !== "") throw new DhowError("invalid", `conflicting options: user namespace mode ${mode} and label ${USERNS_LABEL}=${label}`);
  if (!isAutoUserns(label)) throw new DhowError("invalid", `invalid label ${USERNS_LABEL}=${label}: it takes auto[:OPTIONS]`);
  return label;
}

/** The containers whose namespaces a container shares, as it names them. */
export function sharedWith(hostConfig: HostConfig): string[] {
  const modes = [networkMode(hostConfig), hostConfig.IpcMode, hostConfig.PidMode];
  return modes.flatMap((mode) => joinedContainer(mode) ?? []);
}

/**
 * Gives containers their user namespaces' mappings. One of a container's own is its as long as there is a row of the container, so that
 * nothing is to be given back, and nothing is lost when the daemon dies.
 */
export class UsernsMappings {
  readonly #store: ContainerStore;
  readonly #settings: UsernsSettings;
  /** Of containers that are still being made. */
  readonly #reserved = new Map<string, IdMappings>();

  constructor(store: ContainerStore, settings: UsernsSettings) {
    this.#store = store;
    this.#settings = settings;
  }

  /** Whether containers that ask for nothing get a user namespace. */
  get isDefault(): boolean {
    return this.#settings.remap !== undefined;
  }

  /**
   * The mapping of a container in the making; undefined: it stays in the host's namespace. Call `made` once it is in the store, or isn't.
   * @throws invalid for what user namespaces exclude, unavailable when the pool is used up
   */
  choose(id: string, hostConfig: HostConfig): IdMappings | undefined {
    const mode = hostConfig.UsernsMode ?? "";
    const { remap } = this.#settings;
    if (mode === "host" || (mode === "" && remap === undefined)) return undefined;
    validateUserns(hostConfig);
    if (mode === "" && remap !== "auto") return remap;
    const mappings = this.#ofDonor(hostConfig) ?? this.#allocate(parseAutoUserns(mode || "auto"));
    this.#reserved.set(id, mappings);
    return mappings;
  }

  made(id: string): void {
    this.#reserved.delete(id);
  }

  /** Mappings that are kept for containers which nobody is making. */
  defects(): Defect[] {
    const stray = [...this.#reserved.keys()].filter((id) => !this.#store.isBeingMade(id));
    return stray.map((id) => ({ what: `ids of a user namespace are kept for ${id}, which is no container`, mend: () => this.made(id) }));
  }

  /** Who shares another container's namespaces has to be in its user namespace: to root of any other one, they are somebody else's. */
  #ofDonor(hostConfig: HostConfig): IdMappings | undefined {
    for (const ref of sharedWith(hostConfig)) {
      const donor = this.#store.tryFind(ref);
      // its start will tell
      if (donor === undefined) continue;
      if (donor.spec.userns !== undefined) return donor.spec.userns;
      throw new DhowError("invalid", `cannot share namespaces of container ${donor.id}: it is in the host's user namespace`);
    }
    return undefined;
  }

  #allocate(asked: AutoUserns): IdMappings {
    const inUse = this.#store.list().flatMap(({ spec }) => spec.userns ?? []);
    const { remap } = this.#settings;
    const fixed = remap === undefined || remap === "auto" ? [] : [remap];
    return allocateMappings(asked, readIdPool(this.#settings.pool), [...fixed, ...inUse, ...this.#reserved.values()]);
  }
}
