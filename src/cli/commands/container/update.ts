import type { PortChangeRequest, PortPublication } from "../../../spec/engine/mod.ts";
import { command, minArgs } from "../../command.ts";
import { parseRestartPolicy } from "../../container/container-request.ts";
import { parsePublish, parseUnpublish, shortPublish, splitAllow } from "../../container/ports.ts";
import { forEachArg } from "../../each.ts";
import { BYTES, CPUS, INT, LIST, STRING, SWAP_BYTES, UINT16 } from "../../flag-kinds.ts";

const FLAGS = {
  "blkio-weight": { kind: UINT16, help: "Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)" },
  "cpu-period": { kind: INT, help: "Limit CPU CFS (Completely Fair Scheduler) period" },
  "cpu-quota": { kind: INT, help: "Limit CPU CFS (Completely Fair Scheduler) quota" },
  "cpu-rt-period": { kind: INT, help: "Limit the CPU real-time period in microseconds" },
  "cpu-rt-runtime": { kind: INT, help: "Limit the CPU real-time runtime in microseconds" },
  "cpu-shares": { kind: INT, short: "c", help: "CPU shares (relative weight)" },
  cpus: { kind: CPUS, help: "Number of CPUs" },
  "cpuset-cpus": { kind: STRING, help: "CPUs in which to allow execution (0-3, 0,1)" },
  "cpuset-mems": { kind: STRING, help: "MEMs in which to allow execution (0-3, 0,1)" },
  egress: { kind: STRING, isOwn: true, help: "Drop or only record what the container may not reach (enforce|learn)" },
  "egress-allow": { kind: LIST, isOwn: true, help: "Reach these names, addresses and networks instead of the present ones" },
  // engines ignore it
  "kernel-memory": { kind: BYTES, help: "", isHidden: true },
  memory: { kind: BYTES, short: "m", help: "Memory limit" },
  "memory-reservation": { kind: BYTES, help: "Memory soft limit" },
  "memory-swap": { kind: SWAP_BYTES, help: "Swap limit equal to memory plus swap: -1 to enable unlimited swap" },
  "net-delay": { kind: STRING, isOwn: true, help: "Delay what the container sends (e.g. 80ms; empty: no longer)" },
  "net-jitter": { kind: STRING, isOwn: true, help: "How far the delay varies (e.g. 10ms; empty: not at all)" },
  "net-loss": { kind: STRING, isOwn: true, help: "Lose a part of what the container sends (e.g. 1%; empty: nothing)" },
  "net-rate": { kind: STRING, isOwn: true, help: "Limit the container's network, each way (e.g. 10mbit; empty: no limit)" },
  "pids-limit": { kind: INT, help: "Tune container pids limit (set -1 for unlimited)" },
  "publish-add": { kind: LIST, isOwn: true, help: "Publish a container's port(s) to the host, also while it runs" },
  "publish-rm": {
    kind: LIST,
    isOwn: true,
    help: "Take published port(s) of the host back (as published, or [IP:]HOSTPORT[-HOSTPORT][/PROTOCOL])",
  },
  restart: { kind: STRING, help: "Restart policy to apply when a container exits" },
} as const;

function portChange(add: readonly string[], remove: readonly string[]): PortChangeRequest | undefined {
  if (add.length === 0 && remove.length === 0) return undefined;
  const Add = add.flatMap((text) => {
    const { mapping, sources } = splitAllow(text);
    return parsePublish(shortPublish(mapping)).map(({ port, hostIp, hostPort }): PortPublication => {
      const [number, Protocol = "tcp"] = port.split("/");
      const place = { ContainerPort: Number(number), Protocol, HostIp: hostIp, HostPort: hostPort };
      return sources.length > 0 ? { ...place, Allow: sources } : place;
    });
  });
  return { Add, Remove: remove.flatMap(parseUnpublish) };
}

export const update = command({
  use: "[OPTIONS] CONTAINER [CONTAINER...]",
  short: "Update configuration of one or more containers",
  aliases: ["container update", "update"],
  args: minArgs(1),
  flags: FLAGS,
  run: async (ctx, args, flags, changed) => {
    if (changed.size === 0) throw new Error("you must provide one or more flags when using this command");
    const ports = portChange(flags["publish-add"], flags["publish-rm"]);
    const conditions = {
      ...(changed.has("net-rate") && { Rate: flags["net-rate"] }),
      ...(changed.has("net-delay") && { Delay: flags["net-delay"] }),
      ...(changed.has("net-jitter") && { Jitter: flags["net-jitter"] }),
      ...(changed.has("net-loss") && { Loss: flags["net-loss"] }),
    };
    const policy = {
      ...(changed.has("egress") && { Mode: flags.egress }),
      ...(changed.has("egress-allow") && { Allow: flags["egress-allow"].filter((text) => text !== "") }),
    };
    const hasLimits = [...changed].some((flag) => !/^(publish|net|egress)(-|$)/.test(flag));
    const request = {
      BlkioWeight: flags["blkio-weight"],
      CpuPeriod: flags["cpu-period"],
      CpuQuota: flags["cpu-quota"],
      CpuRealtimePeriod: flags["cpu-rt-period"],
      CpuRealtimeRuntime: flags["cpu-rt-runtime"],
      CpuShares: flags["cpu-shares"],
      NanoCpus: flags.cpus,
      CpusetCpus: flags["cpuset-cpus"],
      CpusetMems: flags["cpuset-mems"],
      Memory: flags.memory,
      MemoryReservation: flags["memory-reservation"],
      MemorySwap: flags["memory-swap"],
      ...(changed.has("pids-limit") && { PidsLimit: flags["pids-limit"] }),
      RestartPolicy: parseRestartPolicy(flags.restart),
    };
    const warnings: string[] = [];
    try {
      await forEachArg(args, async (ref) => {
        if (ports !== undefined) await ctx.api.ports.change(ref, ports);
        if (Object.keys(conditions).length > 0) await ctx.api.conditions.change(ref, conditions);
        if (Object.keys(policy).length > 0) await ctx.api.egress.change(ref, policy);
        if (hasLimits) warnings.push(...((await ctx.api.containers.update(ref, request)).Warnings ?? []));
        ctx.out(ref);
      });
    } finally {
      if (warnings.length > 0) ctx.out(warnings.join("\n"));
    }
  },
});
