/** GET /images/{name}/why-kept, dhow's own: what keeps an image when the disk gets full. */
export interface KeptImage {
  readonly Id: string;
  readonly Names: readonly string[];
  readonly Pinned: boolean;
  /** When it came into the store, and when it was last used, to the hour; RFC 3339. */
  readonly Added: string;
  readonly LastUsed: string;
  /** Empty: nothing keeps it. */
  readonly Keepers: readonly ImageKeeper[];
}

/** One reason to keep an image. */
export interface ImageKeeper {
  readonly Kind: "container" | "pin" | "age" | "child" | "lease" | "work";
  /** A sentence. */
  readonly Text: string;
}

export interface ImageGcOptions {
  /** Only says what would be removed. */
  readonly dryRun: boolean;
  /** Removes images until so many bytes of the file system are free; without it, until it is less full than the low watermark. */
  readonly untilFreeBytes?: number | undefined;
}

/** POST /images/gc, dhow's own. */
export interface ImageGcReport {
  /** In the order of their removal. */
  readonly Images: readonly CollectedImage[];
  /** Bytes of the layers that go with them. */
  readonly SpaceReclaimed: number;
  /** Bytes that should have been freed; more than `SpaceReclaimed` when everything else is kept. */
  readonly Needed: number;
  /** Of the file system of the data root, before. */
  readonly Capacity: number;
  readonly Available: number;
}

export interface CollectedImage {
  readonly Id: string;
  readonly Names: readonly string[];
  readonly LastUsed: string;
  /** What its removal frees after that of those before it. */
  readonly Size: number;
}
