import { DhowError } from "../../lib/mod.ts";
import type { HostConfig } from "../../spec/engine/mod.ts";

/**
 * Refuses what a container with a user namespace can't have, in docker's words.
 * @throws invalid
 * @see moby v28 daemon/daemon_unix.go, verifyPlatformContainerSettings
 */
export function validateUserns(config: HostConfig): void {
  const refuse = (why: string): never => {
    throw new DhowError("invalid", why);
  };
  if (config.Privileged) {
    refuse(
      "privileged mode is incompatible with user namespaces.  You must run the container in the host namespace when running privileged mode",
    );
  }
  if (config.NetworkMode === "host") refuse("cannot share the host's network namespace when user namespaces are enabled");
  if (config.PidMode === "host") refuse("cannot share the host PID namespace when user namespaces are enabled");
}
