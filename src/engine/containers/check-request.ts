import { isIP } from "node:net";
import { DhowError, errorMessage } from "../../lib/mod.ts";
import { parseSignal } from "../../linux/mod.ts";
import { validateConflicts } from "../../runtime/mod.ts";
import type { ContainerCreateRequest, HealthConfig, HostConfig } from "../../spec/engine/mod.ts";
import { parseVolumesFrom, validateMounts } from "../../volumes/mod.ts";
import type { ContainerDeps } from "./deps.ts";

const MILLISECOND_NS = 1_000_000;

/** Checks what a request says of itself. @throws invalid in docker's words */
export function checkRequest(deps: ContainerDeps, request: ContainerCreateRequest, hostConfig: HostConfig): void {
  const { Hostname = "", Domainname = "", WorkingDir = "", StopSignal } = request;
  if (Hostname.length > 64) throw new DhowError("invalid", `invalid hostname: ${Hostname}`);
  if (Domainname.length > 255) throw new DhowError("invalid", `invalid domainname: ${Domainname}`);
  if (WorkingDir !== "" && !WorkingDir.startsWith("/")) {
    throw new DhowError("invalid", `the working directory '${WorkingDir}' is invalid, it needs to be an absolute path`);
  }
  if (StopSignal) parseSignal(StopSignal);
  for (const entry of request.Env ?? []) {
    if (entry === "" || entry.startsWith("=")) throw new DhowError("invalid", `invalid environment variable: ${entry}`);
  }
  validateConflicts(hostConfig, { hostname: request.Hostname, exposedPorts: request.ExposedPorts });
  validateMounts(hostConfig);
  checkExtraHosts(hostConfig.ExtraHosts ?? []);
  const runtime = hostConfig.Runtime ?? "";
  if (runtime !== "" && !deps.settings.runtimes.includes(runtime)) {
    throw new DhowError("invalid", `unknown or invalid runtime name: ${runtime}`);
  }
  if (hostConfig.AutoRemove && !["", "no", undefined].includes(hostConfig.RestartPolicy?.Name)) {
    throw new DhowError("invalid", "can't create 'AutoRemove' container with restart policy");
  }
}

function checkExtraHosts(hosts: readonly string[]): void {
  for (const text of hosts) {
    const at = text.indexOf(":");
    if (at <= 0) throw new DhowError("invalid", `bad format for add-host: ${JSON.stringify(text)}`);
    const address = text.slice(at + 1);
    if (address !== "host-gateway" && isIP(address.replace(/^\[(.*)\]$/, "$1")) === 0) {
      throw new DhowError("invalid", `invalid IP address in add-host: ${JSON.stringify(address)}`);
    }
  }
}

/** Of a container's configuration with what its image adds. @throws invalid in docker's words */
export function checkHealth(health: HealthConfig | undefined): void {
  if (!health) return;
  const { Interval, Timeout, StartPeriod, StartInterval } = health;
  for (const [key, value] of Object.entries({ Interval, Timeout, StartPeriod, StartInterval })) {
    if (value && value < MILLISECOND_NS) throw new DhowError("invalid", `${key} in Healthcheck cannot be less than 1ms`);
  }
  if (health.Retries !== undefined && health.Retries < 0) throw new DhowError("invalid", "Retries in Healthcheck cannot be negative");
}

/** Other containers that the request names have to be there; docker calls the request bad when they are not. @throws invalid */
export function checkDonors(deps: ContainerDeps, { IpcMode = "", PidMode = "", VolumesFrom }: HostConfig): void {
  const find = (ref: string): void => {
    try {
      deps.store.find(ref);
    } catch (error) {
      throw new DhowError("invalid", errorMessage(error), { cause: error });
    }
  };
  for (const mode of [IpcMode, PidMode]) if (mode.startsWith("container:")) find(mode.slice("container:".length));
  for (const text of VolumesFrom ?? []) find(parseVolumesFrom(text).container);
}
