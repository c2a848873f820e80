/** When images are removed by themselves. */
export interface ImageGcSettings {
  /** From so full on, in percent; undefined: never, only by hand. */
  readonly highPercent: number | undefined;
  /** Until it is less full than that, in percent. */
  readonly lowPercent: number;
  /** Images that have been in the store for less are kept. */
  readonly minAgeMs: number;
}
