import { createClient, type EngineClient } from "../../sdk/mod.ts";
import { type EndpointSource, resolveEndpoint } from "../contexts/endpoint.ts";
import { ContextStore, DEFAULT_CONTEXT } from "../contexts/store.ts";
import type { Names } from "./complete.ts";

/** Whoever waits for a completion does not wait for an engine that hangs. */
const PATIENCE_MS = 1500;

async function orNothing(work: () => Promise<readonly string[]>): Promise<readonly string[]> {
  const late = new Promise<readonly string[]>((resolve) => void setTimeout(() => resolve([]), PATIENCE_MS).unref());
  return Promise.race([work().catch(() => []), late]);
}

/** The names that the engine has which the user means. No engine is started for it. */
export class EngineNames implements Names {
  readonly #source: EndpointSource;
  #client: EngineClient | undefined;

  constructor(source: EndpointSource) {
    this.#source = source;
  }

  get #api(): EngineClient {
    const { host, tls } = resolveEndpoint(this.#source);
    this.#client ??= createClient({ host, tls });
    return this.#client;
  }

  close(): void {
    this.#client?.close();
  }

  containers(isWanted: (state: string, networks: readonly string[]) => boolean): Promise<readonly string[]> {
    return orNothing(async () => {
      const list = await this.#api.containers.list({ all: true, limit: 0, size: false, filters: {} });
      return list
        .filter(({ State = "", NetworkSettings }) => isWanted(State, Object.keys(NetworkSettings?.Networks ?? {})))
        .map(({ Names = [] }) => (Names?.[0] ?? "").replace(/^\//, ""));
    });
  }

  images(): Promise<readonly string[]> {
    return orNothing(async () => {
      const list = await this.#api.images.list({ all: false, digests: false, sharedSize: false, manifests: false, filters: {} });
      return list
        .flatMap(({ RepoTags }) => RepoTags ?? [])
        .flatMap((tag) => (tag.endsWith(":latest") ? [tag, tag.slice(0, -":latest".length)] : [tag]));
    });
  }

  networks(): Promise<readonly string[]> {
    return orNothing(async () => (await this.#api.networks.list({})).map(({ Name = "" }) => Name));
  }

  volumes(): Promise<readonly string[]> {
    return orNothing(async () => ((await this.#api.volumes.list({})).Volumes ?? []).map(({ Name = "" }) => Name));
  }

  leases(): Promise<readonly string[]> {
    return orNothing(async () => (await this.#api.leases.list()).map(({ Name }) => Name));
  }

  sockets(): Promise<readonly string[]> {
    return orNothing(async () => (await this.#api.sockets.list()).map(({ Name }) => Name));
  }

  contexts(): Promise<readonly string[]> {
    return orNothing(async () => [DEFAULT_CONTEXT, ...new ContextStore(this.#source.configDir).list().map(({ Name }) => Name)]);
  }
}
