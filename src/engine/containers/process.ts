import { readFileSync } from "node:fs";
import { join } from "node:path";
import { DhowError } from "../../lib/mod.ts";
import type { OciProcess, OciSpec } from "../../spec/oci-runtime/mod.ts";

/** The process that a running container was started with, from its bundle; limits and confinement of execs follow it. @throws internal */
export function bundleProcess(bundleDir: string): OciProcess {
  const { process } = JSON.parse(readFileSync(join(bundleDir, "config.json"), "utf8")) as OciSpec;
  if (!process) throw new DhowError("internal", `read ${bundleDir}/config.json: it has no process`);
  return process;
}
