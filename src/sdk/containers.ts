import { isKind } from "../lib/mod.ts";
import type { ContainerSummary } from "../spec/engine/mod.ts";
import type { EngineAccess, SignalOption } from "./access.ts";
import type { ByteSource } from "./bytes.ts";
import { Container } from "./container.ts";
import { type ContainerOptions, createRequest } from "./create-request.ts";
import { type FilterOptions, filtersOf } from "./filters.ts";
import { Images, type PullOptions } from "./images.ts";

/** How to make a container. */
export interface CreateOptions extends ContainerOptions, SignalOption {
  /** Default `missing`: an image that the engine doesn't have is pulled. */
  readonly pull?: "missing" | "always" | "never" | undefined;
  readonly pullOptions?: PullOptions | undefined;
}

/** How to run a container. */
export interface RunOptions extends CreateOptions {
  /** What its process reads, to its end. */
  readonly input?: ByteSource | undefined;
}

/** Which containers to list. */
export interface ListContainersOptions extends FilterOptions {
  /** Also those that don't run. */
  readonly all?: boolean | undefined;
}

/** The containers of an engine. */
export class Containers {
  readonly #access: EngineAccess;

  constructor(access: EngineAccess) {
    this.#access = access;
  }

  /** Makes a container and starts it; one that can't be started is removed. */
  async run(options: RunOptions): Promise<Container> {
    const { input, signal } = options;
    const container = await this.#create(options, input !== undefined);
    try {
      // attached before the process can end
      if (input !== undefined) await container.stdin.open();
      await container.start({ signal });
    } catch (error) {
      await container.remove();
      throw error;
    }
    if (input !== undefined) container.feed(container.stdin.write(input).then(() => container.stdin.end()));
    return container;
  }

  /** Makes a container without starting it. */
  create(options: CreateOptions): Promise<Container> {
    return this.#create(options, false);
  }

  async #create(options: CreateOptions, withInput: boolean): Promise<Container> {
    const { image, name, platform, pull = "missing", signal } = options;
    const { containers } = this.#access.within(signal);
    const request = createRequest(options, withInput);
    const create = async (): Promise<Container> =>
      new Container(this.#access, (await containers.create(request, { name, platform, signal })).Id ?? "");
    const images = new Images(this.#access);
    const pullImage = () => images.pull(image, { platform, signal, ...options.pullOptions });
    if (pull === "always") await pullImage();
    try {
      return await create();
    } catch (error) {
      if (pull !== "missing" || !isKind(error, "notFound") || (await images.has(image, { signal }))) throw error;
      await pullImage();
      return create();
    }
  }

  /** A container by name, id or unique beginning of an id. @throws notFound */
  async get(ref: string, { signal }: SignalOption = {}): Promise<Container> {
    const { Id } = await this.#access.within(signal).containers.inspect(ref, { size: false });
    return new Container(this.#access, Id ?? ref);
  }

  async list({ all = false, filters, signal }: ListContainersOptions = {}): Promise<ContainerSummary[]> {
    return this.#access.within(signal).containers.list({ all, limit: 0, size: false, filters: filtersOf(filters), signal });
  }

  /** Removes those that don't run. */
  async prune({ filters, signal }: FilterOptions = {}): Promise<{ readonly removed: readonly string[]; readonly reclaimedBytes: number }> {
    const { ContainersDeleted, SpaceReclaimed } = await this.#access.within(signal).containers.prune(filtersOf(filters));
    return { removed: ContainersDeleted ?? [], reclaimedBytes: SpaceReclaimed };
  }
}
