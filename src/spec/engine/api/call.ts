/** Docker's `filters` parameter: every value given for a key; a negated value (`label!`) has its key with the `!`. */
export type Filters = Readonly<Record<string, readonly string[]>>;

/** Cancels a call whose client went away. */
export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}
