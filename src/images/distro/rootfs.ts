/** A root file system that is being made. */
export interface DistroRootfs {
  /** Streamed while it is made; ends well only when making it went well. */
  readonly tar: AsyncIterable<Uint8Array>;
  /** The image's time of creation. */
  readonly madeAt: Date;
  /** What a container runs by default. */
  readonly command: readonly string[];
  /** For the image's history. */
  readonly madeBy: string;
}
