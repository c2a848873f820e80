import type { CheckOptions, CheckReport } from "../check.ts";
import type { AuthConfig, AuthResponse, ContainerSummary, EventMessage, ImageSummary, SystemInfo, SystemVersion, Volume } from "../dto.ts";
import type { CallOptions, Filters } from "./call.ts";

export interface EventsOptions extends CallOptions {
  /** Nanoseconds since the epoch; undefined = from now on. */
  readonly sinceNs?: bigint | undefined;
  /** Ends the stream at this time; in the past: only what was. */
  readonly untilNs?: bigint | undefined;
  readonly filters: Filters;
}

/** GET /system/df, in the form before 1.52. */
export interface DiskUsage {
  readonly LayersSize: number;
  readonly Images: readonly ImageSummary[];
  readonly Containers: readonly ContainerSummary[];
  readonly Volumes: readonly Volume[];
  readonly BuildCache: readonly never[];
  /** What logs take on disk, of containers that have one: not part of Docker's API. */
  readonly Logs?: readonly LogUsage[];
}

/** What one container's log takes on disk. */
export interface LogUsage {
  readonly ContainerID: string;
  readonly Driver: string;
  readonly Size: number;
}

/** Body of POST /auth. */
export interface RegistryCredentials extends AuthConfig {
  readonly identitytoken?: string | undefined;
}

export interface SystemApi {
  version(): Promise<SystemVersion>;
  info(): Promise<SystemInfo>;
  events(options: EventsOptions): AsyncIterable<EventMessage>;
  diskUsage(types: readonly string[], options?: CallOptions): Promise<DiskUsage>;
  /** Looks for damage and for what is left of objects that are gone; repairs it, too. */
  check(options: CheckOptions): Promise<CheckReport>;
  /** Whether a registry lets a user in; the answer may have a token to keep in the place of the password. */
  authenticate(credentials: RegistryCredentials, options: CallOptions): Promise<AuthResponse>;
}
