import { DhowError } from "../../lib/mod.ts";
import { type HostConfig, IPC_SYSCTLS } from "../../spec/engine/mod.ts";
import type { HostFacts } from "../host.ts";
import { isHostMode, isPrivateMode } from "./modes.ts";

/** Refuses what would change the host instead of the container. @throws invalid in runc's words, which docker hands through */
export function validateSysctls(config: HostConfig): void {
  for (const given of Object.keys(config.Sysctls ?? {})) {
    const name = given.replaceAll("/", ".");
    const quoted = JSON.stringify(given);
    // a runtime that keeps slashes would climb out of the tree that the first part allows
    if (name.includes("..")) throw new DhowError("invalid", `sysctl ${quoted} is not in a separate kernel namespace`);
    if (IPC_SYSCTLS.has(name) || name.startsWith("fs.mqueue.")) {
      if (isHostMode(config.IpcMode)) throw new DhowError("invalid", `sysctl ${quoted} is not allowed in the hosts ipc namespace`);
    } else if (name.startsWith("net.")) {
      if (isHostMode(config.NetworkMode)) throw new DhowError("invalid", `sysctl ${quoted} not allowed in host network namespace`);
    } else if (name === "kernel.domainname") {
      if (isHostMode(config.UTSMode)) throw new DhowError("invalid", `sysctl ${quoted} is not allowed in the host UTS namespace`);
    } else if (name === "kernel.hostname") {
      throw new DhowError("invalid", `sysctl ${quoted} is not allowed as it conflicts with the OCI "hostname" field`);
    } else {
      throw new DhowError("invalid", `sysctl ${quoted} is not in a separate kernel namespace`);
    }
  }
}

const MAX_GROUP = 2147483647;

/**
 * The sysctls of a container: Docker's defaults for a network namespace of its own, the domain name, the user's over them.
 * `groups` is how many groups there are in its user namespace: the kernel refuses others.
 */
export function containerSysctls(config: HostConfig, facts: HostFacts, domainname: string, groups = MAX_GROUP + 1): Record<string, string> {
  const own = isPrivateMode(config.NetworkMode);
  return {
    ...(own && facts.pingGroupRange ? { "net.ipv4.ping_group_range": `0 ${Math.min(groups - 1, MAX_GROUP)}` } : {}),
    ...(own && facts.unprivilegedPortStart ? { "net.ipv4.ip_unprivileged_port_start": "0" } : {}),
    ...(domainname !== "" && !isHostMode(config.UTSMode) ? { "kernel.domainname": domainname } : {}),
    ...(config.Sysctls ?? {}),
  };
}
