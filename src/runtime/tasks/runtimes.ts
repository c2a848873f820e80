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
}

/** The command lines of `runtime`, with its state under `root`. */
export function runtimeCommand(runtime: OciRuntime, root: string): RuntimeCommand {
  const label = basename(runtime.path);
  const isCrun = label.includes("crun");
  const base = [runtime.path, ...(runtime.args ?? []), "--root", root];
  if (isCrun) base.push("--cgroup-manager=cgroupfs");
  const logged = (log: string): string[] => [...base, "--log", log, "--log-format", "json"];
  const consoleArgs = (path: string | undefined): string[] => (path === undefined ? [] : ["--console-socket", path]);
  return {
    label,
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
  };
}
