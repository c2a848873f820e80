import { noSuchImage } from "../../images/mod.ts";
import { DhowError, errorMessage, isKind } from "../../lib/mod.ts";
import type { ContainerInspectResponse, ContainerSummary, EngineApi, ImageInspect, NetworkInspect, Volume } from "../../spec/engine/mod.ts";
import { familiarString, repoTagReference, withDefaultTag } from "../../spec/reference.ts";
import { driverOptionsProblem, escapeOf } from "./host-config.ts";
import type { Access, Labels, Verb } from "./rules.ts";

/** What a scope works on. */
export type Engine = Omit<EngineApi, "sockets">;

/** Networks that every engine has, and that say nothing about anybody. */
export const PREDEFINED: ReadonlySet<string> = new Set(["bridge", "none"]);
/** No registry that anybody pulls from is called so. */
const LOCAL_DOMAIN = "localhost";
const EVERY = { all: true, limit: 0, size: false, filters: {} };

/** The objects that are there for the clients of one scoped socket. For all others the answer is docker's "No such …". */
export class Objects {
  readonly engine: Engine;
  readonly access: Access;
  /** Whether containers are kept from the host. */
  readonly isConfined: boolean;

  constructor(engine: Engine, access: Access, isConfined: boolean) {
    this.engine = engine;
    this.access = access;
    this.isConfined = isConfined;
  }

  async containers(): Promise<ContainerSummary[]> {
    const label = this.access.commonLabel("containers");
    // most engines have many more containers than a socket's clients see
    const all = await this.engine.containers.list(label === undefined ? EVERY : { ...EVERY, filters: { label: [label] } });
    return all.filter(({ Labels }) => this.access.sees("containers", Labels));
  }

  /** Names of a container that say nothing about others: a link is called after the container that has it. */
  ownNames(names: readonly string[] | null | undefined, visible: readonly ContainerSummary[]): string[] {
    const known = new Set(visible.flatMap(({ Names }) => Names?.filter((name) => !name.slice(1).includes("/")) ?? []));
    return (names ?? []).filter((name) => {
      const slash = name.indexOf("/", 1);
      return slash < 0 || known.has(name.slice(0, slash));
    });
  }

  /** The one that `ref` names among those that are visible: full id, name, unique prefix, link. @throws notFound, invalid, internal */
  async #find(ref: string): Promise<ContainerSummary> {
    if (ref === "") throw new DhowError("invalid", "bad parameter: container name or ID is empty");
    const visible = await this.containers();
    const name = `/${ref.replace(/^\//, "")}`;
    const exact = visible.find(({ Id }) => Id === ref) ?? visible.find(({ Names }) => this.ownNames(Names, visible).includes(name));
    if (exact) return exact;
    const found = /^[0-9a-f]+$/.test(ref) ? visible.filter(({ Id }) => Id?.startsWith(ref)) : [];
    if (found.length > 1) throw new DhowError("internal", `multiple IDs found with provided prefix: ${ref}`);
    if (!found[0]) throw new DhowError("notFound", `No such container: ${ref}`);
    return found[0];
  }

  /** The id of a container that may be treated so. An id, since a name may be another's by the time it is used. @throws notFound, forbidden */
  async container(ref: string, verb: Verb<"containers">): Promise<string> {
    this.access.require("containers", verb);
    const { Id = "", Labels } = await this.#find(ref);
    this.access.requireOn("containers", verb, Labels);
    return Id;
  }

  /**
   * The id of a container whose inside may be got into: one that leads to the host, made by somebody else, does so for nobody here.
   * @throws notFound, forbidden
   */
  async inside(ref: string, verb: Verb<"containers">): Promise<string> {
    const id = await this.container(ref, verb);
    if (this.isConfined) await this.#requireConfined(id, new Set());
    return id;
  }

  async #requireConfined(id: string, seen: Set<string>): Promise<void> {
    if (seen.has(id)) return;
    seen.add(id);
    const { HostConfig = {}, Mounts, NetworkSettings } = await this.engine.containers.inspect(id, { size: false });
    const bound = Mounts?.some(({ Type }) => Type === "bind") ? "a mount of the host's" : undefined;
    // the mode may be its id
    const NetworkMode = Object.hasOwn(NetworkSettings?.Networks ?? {}, "host") ? "host" : HostConfig.NetworkMode;
    const why = escapeOf({ ...HostConfig, NetworkMode }) ?? bound ?? (await this.#boundVolume(Mounts));
    if (why !== undefined) throw this.access.refusal(`access to container ${id.slice(0, 12)}, which has ${why}`);
    for (const mode of [HostConfig.NetworkMode, HostConfig.PidMode, HostConfig.IpcMode]) {
      if (mode?.startsWith("container:")) await this.#requireConfined(mode.slice("container:".length), seen);
    }
  }

  /** A volume that shows what is elsewhere on the host. */
  async #boundVolume(mounts: ContainerInspectResponse["Mounts"]): Promise<string | undefined> {
    for (const { Type, Name = "" } of mounts ?? []) {
      if (Type !== "volume") continue;
      const problem = driverOptionsProblem((await this.engine.volumes.inspect(Name)).Options);
      if (problem !== undefined) return `the volume ${Name} with ${problem}`;
    }
    return undefined;
  }

  /** @throws notFound, forbidden */
  async image(ref: string, verb: Verb<"images">): Promise<ImageInspect> {
    this.access.require("images", verb);
    const image = await this.engine.images.inspect(ref, {}).catch((error: unknown) => {
      throw isKind(error, "invalid") || isKind(error, "notFound") ? error : noSuchImage(ref);
    });
    if (!this.access.sees("images", image.Config?.Labels)) throw noSuchImage(ref);
    this.access.requireOn("images", verb, image.Config?.Labels);
    return image;
  }

  /**
   * Makes sure that a name may become a new image's. Names are everybody's: nobody is to find an image under one that they take for a
   * registry's, and one that a name is taken from must be its clients' to make. @throws conflict, forbidden
   */
  async requireFreeImageName(repo: string, tag: string): Promise<void> {
    const reference = repoTagReference(repo, tag);
    if (reference === null || this.access.isEverything("images", "create")) return;
    const name = familiarString(withDefaultTag(reference));
    if (this.isConfined && reference.domain !== LOCAL_DOMAIN) {
      throw this.access.refusal(`the image name ${name}: names of its images begin with ${LOCAL_DOMAIN}/`);
    }
    const taken = await this.engine.images.inspect(name, {}).catch(() => undefined);
    if (taken === undefined) return;
    if (!this.access.sees("images", taken.Config?.Labels)) {
      throw new DhowError("conflict", `Conflict. The image name ${JSON.stringify(name)} is already in use`);
    }
    this.access.requireOn("images", "create", taken.Config?.Labels);
  }

  /** A volume that is there, also one that is not visible; undefined when there is none. */
  async anyVolume(name: string): Promise<Volume | undefined> {
    try {
      return await this.engine.volumes.inspect(name);
    } catch (error) {
      if (isKind(error, "notFound")) return undefined;
      throw error;
    }
  }

  /** @throws notFound, forbidden */
  async volume(name: string, verb: Verb<"volumes">): Promise<Volume> {
    this.access.require("volumes", verb);
    const volume = await this.engine.volumes.inspect(name);
    if (!this.access.sees("volumes", volume.Labels)) throw new DhowError("notFound", `get ${name}: no such volume`);
    this.access.requireOn("volumes", verb, volume.Labels);
    return volume;
  }

  seesNetwork({ Name = "", Labels }: { readonly Name?: string | undefined; readonly Labels?: Labels }): boolean {
    return PREDEFINED.has(Name) ? this.access.may("networks", "read") : this.access.sees("networks", Labels);
  }

  /** @throws notFound, forbidden */
  async network(ref: string, verb: Verb<"networks">, options: { readonly verbose: boolean } = { verbose: false }): Promise<NetworkInspect> {
    this.access.require("networks", verb);
    const network = await this.engine.networks.inspect(ref, options).catch((error: unknown) => {
      throw isKind(error, "notFound") ? error : new DhowError("notFound", `network ${ref} not found`);
    });
    if (!this.seesNetwork(network)) throw new DhowError("notFound", `network ${ref} not found`);
    if (!PREDEFINED.has(network.Name ?? "") || verb !== "read") this.access.requireOn("networks", verb, network.Labels);
    return network;
  }

  /** Failures of `work`, without the ids of containers that are not visible: conflicts name whom they are with. */
  async withoutIds<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      const text = errorMessage(error);
      const ids = text.match(/\b(?:[0-9a-f]{64}|[0-9a-f]{12})\b/g) ?? [];
      if (ids.length === 0 || !(error instanceof DhowError)) throw error;
      const all = await this.engine.containers.list(EVERY);
      const hidden = all.filter(({ Labels }) => !this.access.sees("containers", Labels));
      const named = ids.filter((id) => hidden.some(({ Id }) => Id?.startsWith(id)));
      if (named.length === 0) throw error;
      throw new DhowError(
        error.kind,
        named.reduce((rest, id) => rest.replaceAll(id, "(not visible)"), text),
      );
    }
  }
}
