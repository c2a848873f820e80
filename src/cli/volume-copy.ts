import type { ProgressMessage, Volume, VolumeCloneOptions } from "../spec/engine/mod.ts";
import type { Context } from "./context.ts";
import { showProgress } from "./progress.ts";

/** Copies a volume, shows how far it is, and prints the name of the new one. */
export async function copyVolume(ctx: Context, source: string, options: VolumeCloneOptions & { readonly quiet: boolean }): Promise<void> {
  let made: Volume | undefined;
  const messages = await ctx.api.volumeContents.clone(source, options);
  await showProgress(ctx.stderr, seen());
  ctx.out(made?.Name ?? "");

  async function* seen(): AsyncGenerator<ProgressMessage, void, void> {
    for await (const message of messages) {
      if (message.aux !== undefined) made = message.aux as Volume;
      else if (message.error !== undefined || (!options.quiet && ctx.stderr.isTerminal)) yield message;
    }
  }
}
