import type { EngineApi } from "../../spec/engine/mod.ts";
import type { Route } from "../router.ts";
import { absentRoutes } from "./absent.ts";
import { checkpointRoutes } from "./checkpoints.ts";
import { conditionRoutes } from "./conditions.ts";
import { containerRoutes } from "./containers.ts";
import { contentsRoutes } from "./contents.ts";
import { egressRoutes } from "./egress.ts";
import { execRoutes } from "./exec.ts";
import { fileRoutes } from "./files.ts";
import { imageRoutes } from "./images.ts";
import { leaseRoutes } from "./leases.ts";
import { networkRoutes } from "./networks.ts";
import { portRoutes } from "./ports.ts";
import { socketRoutes } from "./sockets.ts";
import { streamRoutes } from "./streams.ts";
import { systemRoutes } from "./system.ts";
import { volumeRoutes } from "./volumes.ts";

export interface RouteOptions {
  readonly builderVersion: string;
  readonly now: () => number;
}

/** Every route of the API. */
export function routes(api: EngineApi, options: RouteOptions): readonly Route[] {
  return [
    ...containerRoutes(api),
    ...checkpointRoutes(api),
    ...streamRoutes(api, options),
    ...fileRoutes(api),
    ...contentsRoutes(api),
    ...execRoutes(api),
    ...imageRoutes(api),
    ...volumeRoutes(api),
    ...networkRoutes(api),
    ...portRoutes(api),
    ...conditionRoutes(api),
    ...egressRoutes(api),
    ...systemRoutes(api, options),
    ...leaseRoutes(api),
    ...socketRoutes(api),
    ...absentRoutes(),
  ];
}
