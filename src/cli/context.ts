import type { EngineClient } from "../sdk/mod.ts";
import type { EndpointSource } from "./contexts/endpoint.ts";
import type { Output } from "./terminal/output.ts";

/** What a command has besides its arguments. */
export interface Context {
  /** The name that the program was called by: `dhow` or `docker`. */
  readonly name: string;
  /** The command's own path: `container ls`. */
  readonly path: string;
  readonly stdout: Output;
  readonly stderr: Output;
  /** The engine; connects (and starts one, where that is due) at the first use. */
  readonly api: EngineClient;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly configDir: string;
  /** What decides which engine `api` is. */
  readonly endpointSource: EndpointSource;
  readonly isDebug: boolean;
  /** A line on stdout. */
  out(line: string): void;
  /** A line on stderr. */
  warn(line: string): void;
}
