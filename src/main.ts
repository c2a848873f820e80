/**
 * The entry of the program: reads the name it was called by and the first argument, loads what they ask for and nothing else.
 *
 * - called `dockerd`, or first argument `daemon`: the daemon
 * - first argument `internal-…`: a helper that dhow starts itself
 * - everything else: the command line
 */

type Run = (argv: readonly string[]) => Promise<number>;

/** What dhow starts itself by re-executing its own binary. Not for users; arguments and behaviour may change at any time. */
const INTERNAL: Readonly<Record<string, () => Promise<Run>>> = {
  "internal-files": async () => (await import("./engine/containers/files/helper.ts")).runFileHelper,
  "internal-volume-files": async () => (await import("./engine/volumes/volume-helper.ts")).runVolumeHelper,
  "internal-mount": async () => (await import("./volumes/mod.ts")).runMountHelper,
};

/** The launcher `./dhow` says by DHOW_ARGV0 which name it was called by: below it, argv[0] is Bun's. */
function calledName(): string {
  const name = process.env["DHOW_ARGV0"] ?? process.argv0;
  delete process.env["DHOW_ARGV0"];
  return name.slice(name.lastIndexOf("/") + 1);
}

/** A daemon that was told to stop ends, whatever timer of a container or open connection there still is. */
async function daemon(argv: readonly string[]): Promise<never> {
  process.exit(await (await import("./daemon/daemon.ts")).runDaemon(argv));
}

async function main(name: string, argv: readonly string[]): Promise<number> {
  const first = argv[0];
  if (name === "dockerd") return daemon(argv);
  if (first === "daemon" && name !== "docker") return daemon(argv.slice(1));
  if (first?.startsWith("internal-")) {
    const load = INTERNAL[first];
    if (load !== undefined) return (await load())(argv.slice(1));
  }
  return (await import("./cli/mod.ts")).runCli(argv, name);
}

process.exitCode = await main(calledName(), process.argv.slice(2));

export {};
