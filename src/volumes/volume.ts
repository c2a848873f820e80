export type StringMap = Readonly<Record<string, string>>;

/** The label of a volume that was made without a name. */
export const ANONYMOUS_LABEL = "com.docker.volume.anonymous";

/** A named piece of disk that outlives containers. */
export interface LocalVolume {
  readonly name: string;
  readonly driver: string;
  /** RFC 3339. */
  readonly createdAt: string;
  readonly labels: StringMap | null;
  readonly options: StringMap | null;
  /** Absolute path of its content; of a plug-in's volume what it says, empty when it wasn't asked. */
  readonly path: string;
  readonly scope: "local" | "global";
  /** What a plug-in tells of it. */
  readonly status?: Readonly<Record<string, unknown>> | undefined;
}

export interface VolumeRequest {
  readonly name?: string | undefined;
  readonly driver?: string | undefined;
  readonly options?: StringMap | null | undefined;
  readonly labels?: StringMap | null | undefined;
}
