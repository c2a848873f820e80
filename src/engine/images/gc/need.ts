/** How full a file system is. */
export interface DiskUse {
  readonly capacityBytes: number;
  /** What an unprivileged user may take. */
  readonly availableBytes: number;
}

/** How full it is, in percent. */
export function usedPercent({ capacityBytes, availableBytes }: DiskUse): number {
  return capacityBytes === 0 ? 0 : 100 - (availableBytes * 100) / capacityBytes;
}

/** What has to be freed until it is less full than `lowPercent`; 0 or less when it is. */
export function bytesToLow({ capacityBytes, availableBytes }: DiskUse, lowPercent: number): number {
  return Math.ceil((capacityBytes * (100 - lowPercent)) / 100) - availableBytes;
}
