import type { HealthConfig } from "../../spec/engine/mod.ts";

export interface HealthFlags {
  readonly "no-healthcheck": boolean;
  readonly "health-cmd": string;
  readonly "health-interval": number;
  readonly "health-timeout": number;
  readonly "health-start-period": number;
  readonly "health-start-interval": number;
  readonly "health-retries": number;
}

/** The check that flags describe; undefined leaves the image's. @throws Error in docker's words */
export function parseHealth(flags: HealthFlags): HealthConfig | undefined {
  const times = [flags["health-interval"], flags["health-timeout"], flags["health-start-period"], flags["health-start-interval"]];
  const hasOther = flags["health-cmd"] !== "" || times.some((ns) => ns !== 0) || flags["health-retries"] !== 0;
  if (flags["no-healthcheck"]) {
    if (hasOther) throw new Error("--no-healthcheck conflicts with --health-* options");
    return { Test: ["NONE"] };
  }
  if (!hasOther) return undefined;
  if (flags["health-interval"] < 0) throw new Error("--health-interval cannot be negative");
  if (flags["health-timeout"] < 0) throw new Error("--health-timeout cannot be negative");
  if (flags["health-retries"] < 0) throw new Error("--health-retries cannot be negative");
  if (flags["health-start-period"] < 0) throw new Error("--health-start-period cannot be negative");
  if (flags["health-start-interval"] < 0) throw new Error("--health-start-interval cannot be negative");
  return {
    ...(flags["health-cmd"] !== "" && { Test: ["CMD-SHELL", flags["health-cmd"]] }),
    ...(flags["health-interval"] !== 0 && { Interval: flags["health-interval"] }),
    ...(flags["health-timeout"] !== 0 && { Timeout: flags["health-timeout"] }),
    ...(flags["health-start-period"] !== 0 && { StartPeriod: flags["health-start-period"] }),
    ...(flags["health-start-interval"] !== 0 && { StartInterval: flags["health-start-interval"] }),
    ...(flags["health-retries"] !== 0 && { Retries: flags["health-retries"] }),
  };
}
