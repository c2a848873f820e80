import { parseBytes } from "../../../lib/mod.ts";
import type { SocketQuota } from "../../../spec/engine/mod.ts";
import type { Kind } from "../../flag-kinds.ts";

type Quota = Partial<SocketQuota>;

function count(text: string): number | undefined {
  return /^\d+$/.test(text) ? Number(text) : undefined;
}

function nanoCpus(text: string): number | undefined {
  return /^\d+(\.\d{1,9})?$|^\.\d{1,9}$/.test(text) ? Math.round(Number(text) * 1e9) : undefined;
}

const PARTS: Readonly<Record<string, readonly [keyof SocketQuota, (text: string) => number | undefined]>> = {
  containers: ["Containers", count],
  volumes: ["Volumes", count],
  networks: ["Networks", count],
  memory: ["Memory", parseBytes],
  cpus: ["NanoCpus", nanoCpus],
  pids: ["Pids", count],
};

/** `containers=20,memory=4g`, again and again. */
export const QUOTA: Kind<Quota> = {
  initial: {},
  word: "quota",
  parse: (text, previous) => {
    const quota: { -readonly [K in keyof Quota]: Quota[K] } = { ...previous };
    for (const part of text.split(",")) {
      const [key = "", value = ""] = part.split("=");
      const [name, parse] = PARTS[key] ?? [];
      const parsed = parse?.(value);
      if (name === undefined) throw new Error(`no such quota: ${key} (there are ${Object.keys(PARTS).join(", ")})`);
      if (parsed === undefined) throw new Error(`invalid quota ${part}`);
      quota[name] = parsed;
    }
    return quota;
  },
};

/** A quota as `--quota` takes it; empty when there is none. */
export function quotaText(quota: SocketQuota, bytes: (size: number) => string): string {
  const { Containers, Volumes, Networks, Memory, NanoCpus, Pids } = quota;
  const parts = [
    Containers > 0 && `containers=${Containers}`,
    Volumes > 0 && `volumes=${Volumes}`,
    Networks > 0 && `networks=${Networks}`,
    Memory > 0 && `memory=${bytes(Memory)}`,
    NanoCpus > 0 && `cpus=${NanoCpus / 1e9}`,
    Pids > 0 && `pids=${Pids}`,
  ];
  return parts.filter((part) => part !== false).join(",");
}
