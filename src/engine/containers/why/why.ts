import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { arch } from "node:os";
import { errorMessage } from "../../../lib/mod.ts";
import { parseSignal } from "../../../linux/mod.ts";
import type { Explanation } from "../../../spec/engine/mod.ts";
import { isRunning } from "../container.ts";
import type { ContainerDeps } from "../deps.ts";
import type { Container } from "../store.ts";
import { EXEC_FAILED, explain, type Facts } from "./explain.ts";
import { lookAtProgram, type Program } from "./program.ts";

const LOG_LINES = 50;
const TAKEN_PORT = /(?:Bind for |bind host port for )\S*?:(\d+)(?: failed|:)/;
const TCP_LISTEN = "0A";
const SIGTERM = 15;

/** GET /containers/{id}/why. */
export async function explainContainer(deps: ContainerDeps, container: Container): Promise<Explanation> {
  const { id, name, state } = container;
  return {
    Id: id,
    Name: `/${name}`,
    Status: state.status,
    ExitCode: state.exitCode,
    Findings: explain(await factsOf(deps, container)),
  };
}

async function factsOf(deps: ContainerDeps, container: Container): Promise<Facts> {
  const { name, spec, state } = container;
  const { hostConfig, config } = spec;
  const log = isRunning(state) || state.status === "created" ? [] : await lastLines(deps, container);
  const isRefused = state.error !== "" || log.some((line) => EXEC_FAILED.test(line));
  const nofile = [...(hostConfig.Ulimits ?? []), ...(deps.settings.spec.ulimits ?? [])].find((limit) => limit?.Name === "nofile");
  return {
    name,
    state,
    command: spec.path,
    memoryLimit: hostConfig.Memory ?? 0,
    fileLimit: nofile?.Soft ?? undefined,
    stopSignal: config.StopSignal ? parseSignal(config.StopSignal) : SIGTERM,
    restartPolicy: hostConfig.RestartPolicy?.Name || "no",
    architecture: arch() === "x64" ? "amd64" : arch(),
    program: isRefused ? programOf(deps, container) : undefined,
    log,
    portHolder: portHolder(deps, container),
  };
}

function programOf(deps: ContainerDeps, { id, spec }: Container): Program | undefined {
  try {
    using held = deps.roots.hold(id);
    const { config } = spec;
    return lookAtProgram({ rootfs: held.rootfs, program: spec.path, env: config.Env ?? [], cwd: config.WorkingDir || "/" });
  } catch (error) {
    deps.log.debug("program could not be looked at", { container: id, error: errorMessage(error) });
    return undefined;
  }
}

async function lastLines(deps: ContainerDeps, container: Container): Promise<string[]> {
  const parts: Buffer[] = [];
  try {
    const { io } = deps.live.of(container);
    const wanted = {
      follow: false,
      stdout: true,
      stderr: true,
      timestamps: false,
      details: false,
      sinceNs: 0n,
      untilNs: 0n,
      tail: LOG_LINES,
    };
    for await (const { data } of io.logs(wanted).output) parts.push(Buffer.from(data));
  } catch (error) {
    // a log driver that can't be read
    deps.log.debug("log could not be read", { container: container.id, error: errorMessage(error) });
  }
  return Buffer.concat(parts)
    .toString()
    .split("\n")
    .map((line) => line.trimEnd())
    .filter((line) => line !== "");
}

function portHolder(deps: ContainerDeps, container: Container): string | undefined {
  const port = Number(TAKEN_PORT.exec(container.state.error)?.[1]);
  if (!(port > 0)) return undefined;
  const other = deps.store
    .list()
    .find(
      (one) =>
        one !== container &&
        isRunning(one.state) &&
        Object.values(one.state.network?.ports ?? {}).some((rows) => rows?.some(({ HostPort }) => HostPort === String(port))),
    );
  return other ? `The container ${other.name}` : processOnPort(port);
}

/** The process of the host's network that listens on a TCP port. @see proc_net_tcp(5) */
function processOnPort(port: number): string | undefined {
  const wanted = port.toString(16).toUpperCase().padStart(4, "0");
  const inodes = new Set(
    ["/proc/net/tcp", "/proc/net/tcp6"].flatMap((file) =>
      readFileSync(file, "utf8")
        .split("\n")
        .map((line) => line.trim().split(/\s+/))
        .filter(([, local = "", , status]) => status === TCP_LISTEN && local.endsWith(`:${wanted}`))
        .map((fields) => `socket:[${fields[9]}]`),
    ),
  );
  if (inodes.size === 0) return undefined;
  for (const pid of readdirSync("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      for (const fd of readdirSync(`/proc/${pid}/fd`)) {
        if (!inodes.has(readlinkSync(`/proc/${pid}/fd/${fd}`))) continue;
        return `Process ${pid} (${readFileSync(`/proc/${pid}/comm`, "utf8").trim()})`;
      }
    } catch {
      // it has ended meanwhile
    }
  }
  return undefined;
}
