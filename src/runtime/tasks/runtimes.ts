import { basename } from "node:path";

/** An OCI runtime on this host. */
export interface OciRuntime {
  /** Path or name of the executable. */
  readonly path: string;
  /** Options that go before the command. */
  readonly args?: readonly string[] | undefined;
}

/** How to talk to a runtime: crun and its likes do more than runc's command line promises. */
export interface RuntimeCommand {
  /** As it is called in error texts. */
  readonly label: string;
  /** Path or name of the executable. */
  readonly program: string;
  /** Where its own state is: `<root>/<id>/`. */
  readonly root: string;
  /** Whether it writes --pid-file in place (so that it may be a FIFO) and takes --console-socket in the foreground. */
  readonly isCrun: boolean;
  run(
    bundle: string,
    id: string,
    options: { readonly pidFile: string; readonly log: string; readonly console: string | undefined },
  ): string[];
  exec(
    id: string,
    options: { readonly process: string; readonly pidFile: string; readonly log: string; readonly console: string | undefined },
  ): string[];
  delete(id: string): string[];
  /** Writes the processes into `images`; they end unless `leaveRunning`. */
  checkpoint(id: string, options: CriuPaths & { readonly leaveRunning: boolean }): string[];
  /** As `run`, with the processes that a checkpoint wrote. */
  restore(bundle: string, id: string, options: CriuPaths & { readonly pidFile: string }): string[];
}

/** Where CRIU finds or leaves its files. */
export interface CriuPaths {
  /** What makes up the processes. */
  readonly images: string;
  /** Its own log. */
  readonly work: string;
  /** The runtime's log. */
  readonly log: string;
}

/** What both a dump and what comes of it need: processes have locks on files and are connected with others outside. */
const CRIU_OPTIONS = ["--file-locks", "--ext-unix-sk", "--tcp-established"];

// crun deletes its state behind a container that it has run, and not behind one that it has restored.
const DELETE_AFTERWARDS = `crun=$1 root=$2 id=$3; shift 3; "$@"; c=$?; "$crun" --root "$root" delete --force "$id" >/dev/null 2>&1; exit $c`;

/** The command lines of `runtime`, with its state under `root`. */
export function runtimeCommand(runtime: OciRuntime, root: string): RuntimeCommand {
  const label = basename(runtime.path);
  const isCrun = label.includes("crun");
  const base = [runtime.path, ...(runtime.args ?? []), "--root", root];
  if (isCrun) base.push("--cgroup-manager=cgroupfs");
  const logged = (log: string): string[] => [...base, "--log", log, "--log-format", "json"];
  const criuArgs = (images: string, work: string): string[] => ["--image-path", images, "--work-path", work, ...CRIU_OPTIONS];
  const consoleArgs = (path: string | undefined): string[] => (path === undefined ? [] : ["--console-socket", path]);
  return {
    label,
    program: runtime.path,
    root,
    isCrun,
    run: (bundle, id, { pidFile, log, console }) => [
      ...logged(log),
      "run",
      "--bundle",
      bundle,
      "--pid-file",
      pidFile,
      ...consoleArgs(console),
      id,
    ],
    exec: (id, { process, pidFile, log, console }) => [
      ...logged(log),
      "exec",
      "--process",
      process,
      "--pid-file",
      pidFile,
      ...consoleArgs(console),
      id,
    ],
    delete: (id) => [...base, "delete", "--force", id],
    checkpoint: (id, { images, work, log, leaveRunning }) => [
      ...logged(log),
      "checkpoint",
      ...criuArgs(images, work),
      ...(leaveRunning ? ["--leave-running"] : []),
      id,
    ],
    restore: (bundle, id, { images, work, log, pidFile }) => [
      ...(isCrun ? ["/bin/sh", "-c", DELETE_AFTERWARDS, "dhow-restore", runtime.path, root, id] : []),
      ...logged(log),
      "restore",
      ...criuArgs(images, work),
      "--bundle",
      bundle,
      "--pid-file",
      pidFile,
      id,
    ],
  };
}
