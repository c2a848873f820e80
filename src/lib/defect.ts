/** Something that is not as it must be, left over or missing, found while nobody was at work on it; and how to put it right. */
export interface Defect {
  /** What and where, as a phrase; equal texts are the same defect. */
  readonly what: string;
  /** The container that it is of; its work in flight may explain it. */
  readonly owner?: string;
  /** Puts it right; again, or when it has gone by itself: nothing. */
  mend(): void | Promise<void>;
}
