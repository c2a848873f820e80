import type { CallOptions, CommitOptions, ContainerContentsApi, FilesystemChange } from "../../spec/engine/mod.ts";
import { containerChanges } from "./changes.ts";
import { commitContainer } from "./commit.ts";
import type { ContentsDeps } from "./deps.ts";
import { exportContainer } from "./export.ts";

/** What is in a container's file system. */
export class ContainerContents implements ContainerContentsApi {
  readonly #deps: ContentsDeps;

  constructor(deps: ContentsDeps) {
    this.#deps = deps;
  }

  changes(ref: string, options: CallOptions): Promise<FilesystemChange[] | null> {
    return containerChanges(this.#deps, ref, options);
  }

  async export(ref: string, options: CallOptions): Promise<AsyncIterable<Uint8Array>> {
    return exportContainer(this.#deps, ref, options);
  }

  commit(ref: string, options: CommitOptions): Promise<{ readonly Id: string }> {
    return commitContainer(this.#deps, ref, options);
  }
}
