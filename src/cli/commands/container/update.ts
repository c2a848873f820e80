import { command, minArgs } from "../../command.ts";
import { parseRestartPolicy } from "../../container/container-request.ts";
import { forEachArg } from "../../each.ts";
import { BYTES, CPUS, INT, STRING, SWAP_BYTES, UINT16 } from "../../flag-kinds.ts";

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
  memory: { kind: BYTES, short: "m", help: "Memory limit" },
  "memory-reservation": { kind: BYTES, help: "Memory soft limit" },
  "memory-swap": { kind: SWAP_BYTES, help: "Swap limit equal to memory plus swap: -1 to enable unlimited swap" },
  "pids-limit": { kind: INT, help: "Tune container pids limit (set -1 for unlimited)" },
  restart: { kind: STRING, help: "Restart policy to apply when a container exits" },
} as const;

export const update = command({
  use: "[OPTIONS] CONTAINER [CONTAINER...]",
  short: "Update configuration of one or more containers",
  aliases: ["container update", "update"],
  args: minArgs(1),
  flags: FLAGS,
  run: async (ctx, args, flags, changed) => {
    if (changed.size === 0) throw new Error("you must provide one or more flags when using this command");
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
        const { Warnings } = await ctx.api.containers.update(ref, request);
        warnings.push(...(Warnings ?? []));
        ctx.out(ref);
      });
    } finally {
      if (warnings.length > 0) ctx.out(warnings.join("\n"));
    }
  },
});
