import { closeSync, existsSync, openSync, rmSync, writeSync } from "node:fs";
import { isKind } from "../../lib/mod.ts";
import type { ContainerCreateRequest } from "../../spec/engine/mod.ts";
import { familiarString, parseAnyReference, parseReference, withDefaultTag } from "../../spec/reference.ts";
import type { Context } from "../context.ts";
import { fileError } from "../env-file.ts";
import { showProgress } from "../progress.ts";
import type { ContainerFlags } from "./container-request.ts";

const HALF_OF_AN_ID = 32;

/** Checks `--pull`. @throws Error in docker's words */
export function checkPull(pull: string): void {
  if (!["", "always", "missing", "never"].includes(pull)) {
    throw new Error(`invalid pull option: '${pull}': must be one of "always", "missing" or "never"`);
  }
}

/** An id file that doesn't replace another; goes away again when no id gets into it. */
class IdFile implements Disposable {
  readonly #path: string;
  readonly #fd: number | undefined;
  #isWritten = false;

  constructor(path: string) {
    this.#path = path;
    if (path === "") return;
    if (existsSync(path)) throw new Error(`container ID file found, make sure the other container isn't running or delete ${path}`);
    try {
      this.#fd = openSync(path, "wx", 0o644);
    } catch (error) {
      throw new Error(`failed to create the container ID file: ${fileError("open", path, error).message}`);
    }
  }

  write(id: string): void {
    if (this.#fd === undefined) return;
    writeSync(this.#fd, id);
    this.#isWritten = true;
  }

  [Symbol.dispose](): void {
    if (this.#fd === undefined) return;
    closeSync(this.#fd);
    if (!this.#isWritten) rmSync(this.#path, { force: true });
  }
}

/** Checks an image's name as docker's client does. Returns the name with its tag; null for an id. */
export function imageName(image: string): string | null {
  const parsed = parseAnyReference(image);
  return parsed.kind === "id" ? null : familiarString(withDefaultTag(parsed.reference));
}

async function pullImage(
  ctx: Context,
  image: string,
  { platform, quiet }: { readonly platform: string; readonly quiet: boolean },
): Promise<void> {
  const name = familiarString(withDefaultTag(parseReference(image)));
  const messages = await ctx.api.transfer.pull(name, { platform: platform || undefined });
  await showProgress(quiet ? undefined : ctx.stderr, messages);
}

function warnAboutLocalDns(ctx: Context, dns: readonly string[]): void {
  for (const address of dns) {
    if (address.startsWith("127.") || address === "::1") ctx.warn(`WARNING: Localhost DNS (${address}) may fail in containers.`);
  }
}

/** Where clients of docker in a container look for the engine. */
const SOCKET_PATH = "/var/run/docker.sock";

/** The request with a scoped socket among its mounts. */
async function withSocket(ctx: Context, request: ContainerCreateRequest, name: string): Promise<ContainerCreateRequest> {
  if (name === "") return request;
  const { Path } = await ctx.api.sockets.inspect(name);
  const host = request.HostConfig ?? {};
  return { ...request, HostConfig: { ...host, Mounts: [...(host.Mounts ?? []), { Type: "bind", Source: Path, Target: SOCKET_PATH }] } };
}

/** Creates a container for `create` and `run`: pulls the image when that is due, shows the warnings, writes the id file. Returns the id. */
export async function createContainer(ctx: Context, asked: ContainerCreateRequest, flags: ContainerFlags): Promise<string> {
  const { platform, pull, quiet } = flags;
  warnAboutLocalDns(ctx, flags.dns);
  const image = asked.Image ?? "";
  using idFile = new IdFile(flags.cidfile);
  const request = await withSocket(ctx, asked, flags.socket);
  const name = imageName(image);
  if (pull === "always" && name !== null) await pullImage(ctx, image, { platform, quiet });
  const create = () => ctx.api.containers.create(request, { name: flags.name, platform: platform || undefined });
  let created: Awaited<ReturnType<typeof create>>;
  try {
    created = await create();
  } catch (error) {
    if (!isKind(error, "notFound") || name === null || (pull !== "missing" && pull !== "")) throw error;
    if (!/No such image/i.test((error as Error).message) && image.length < HALF_OF_AN_ID) throw error;
    if (!quiet) ctx.warn(`Unable to find image '${name}' locally`);
    await pullImage(ctx, image, { platform, quiet });
    created = await create();
  }
  for (const warning of created.Warnings ?? []) ctx.warn(`WARNING: ${warning}`);
  idFile.write(created.Id ?? "");
  return created.Id ?? "";
}
