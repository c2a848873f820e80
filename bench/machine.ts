/** What a table was measured on and with. */
import { cpus, release, totalmem } from "node:os";
import type { Docker, Engine } from "./engine.ts";

function firstLine(command: readonly string[]): string {
  try {
    return (
      Bun.spawnSync([...command], { stderr: "ignore" })
        .stdout.toString()
        .split("\n")[0]
        ?.trim() ?? ""
    );
  } catch {
    return "not installed";
  }
}

/** The lines above the table, as Markdown. */
export function describeMachine(docker: Docker, dockerd: Engine, root: string): string {
  const processors = cpus();
  const commit = firstLine(["git", "-C", root, "log", "-1", "--format=%h of %cs", "HEAD"]);
  const isChanged = firstLine(["git", "-C", root, "status", "--porcelain", "--", "src"]) !== "";
  const memoryGib = (totalmem() / 2 ** 30).toFixed(0);
  const version = (program: string): string => firstLine([program, "--version"]);
  return [
    `- ${processors.length} × ${processors[0]?.model ?? "unknown processor"}, ${memoryGib} GiB; Linux ${release()}; ${new Date().toISOString().slice(0, 16).replace("T", " ")} UTC`,
    `- dhow ${commit}${isChanged ? " with changes" : ""}, compiled by Bun ${Bun.version}; ${version("crun")}`,
    `- dockerd ${docker.output(dockerd, ["version", "--format", "{{.Server.Version}}"])}; ${version("containerd")}; ${version("runc")}`,
    `- in front of both: ${version(docker.path)}`,
  ].join("\n");
}
