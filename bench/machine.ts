/** What a table was measured on and with. */
import { readdirSync, readFileSync } from "node:fs";
import { cpus, loadavg, release, totalmem } from "node:os";
import { type Docker, type Engine, processesOf } from "./engine.ts";

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

/** How many other dockerd run: they share the pages of their code with the measured one, whose proportional size shrinks by that. */
function otherDockerds(dockerd: Engine): number {
  const own = processesOf(dockerd);
  return readdirSync("/proc")
    .filter((pid) => Number(pid) > 0 && !own.includes(Number(pid)))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/comm`, "utf8").trim() === "dockerd";
      } catch {
        return false;
      }
    }).length;
}

/** What else the machine did before a measurement: its load, and what shares memory with dockerd. */
export function describeNeighbours(dockerd: Engine): string {
  const others = otherDockerds(dockerd);
  return `load before the first row ${loadavg()[0]?.toFixed(1)}, other dockerds ${others}${others > 0 ? " (they make this one look smaller)" : ""}`;
}

/** What the compiled dhow was built from: the checkout's commit. */
export function describeCommit(root: string): string {
  const isChanged = firstLine(["git", "-C", root, "status", "--porcelain", "--", "src"]) !== "";
  return `${firstLine(["git", "-C", root, "log", "-1", "--format=%h of %cs"])}${isChanged ? " with changes" : ""}`;
}

/** The lines above the table, as Markdown; `dhow` says which one was measured. */
export function describeMachine(docker: Docker, dockerd: Engine, dhow: string): string {
  const processors = cpus();
  const memoryGib = (totalmem() / 2 ** 30).toFixed(0);
  const version = (program: string): string => firstLine([program, "--version"]);
  return [
    `- ${processors.length} × ${processors[0]?.model ?? "unknown processor"}, ${memoryGib} GiB; Linux ${release()}; ${new Date().toISOString().slice(0, 16).replace("T", " ")} UTC`,
    `- dhow ${dhow}, compiled by Bun ${Bun.version}; ${version("crun")}`,
    `- dockerd ${docker.output(dockerd, ["version", "--format", "{{.Server.Version}}"])}; ${version("containerd")}; ${version("runc")}`,
    `- in front of both: ${version(docker.path)}`,
  ].join("\n");
}
