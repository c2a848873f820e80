import type { EngineApi, SocketsApi } from "../../spec/engine/mod.ts";
import { scopedConditions } from "./conditions.ts";
import {
  scopedCheckpoints,
  scopedContainers,
  scopedContents,
  scopedExec,
  scopedFiles,
  scopedLifecycle,
  scopedStreams,
} from "./containers.ts";
import { scopedEgress } from "./egress.ts";
import { scopedImages, scopedTransfer } from "./images.ts";
import { leaseCheck, scopedLeases } from "./leases.ts";
import { scopedNetworks } from "./networks.ts";
import type { Engine } from "./objects.ts";
import { Objects } from "./objects.ts";
import { scopedPorts } from "./ports.ts";
import type { Quota } from "./quota.ts";
import type { Access } from "./rules.ts";
import { scopedSystem } from "./system.ts";
import { scopedVolumeContents, scopedVolumes } from "./volumes.ts";

/** What the clients of one scoped socket may see and do. */
export interface Scope {
  readonly access: Access;
  readonly quota: Quota;
  /** Whether containers are kept from the host. */
  readonly isConfined: boolean;
}

/**
 * The engine as far as a scoped socket lets its clients see it. Every interface is written out, and none is passed on as it is: what is
 * new in one of them does not compile until it has been said here who may do it.
 */
export function scopedApi(engine: Engine, { access, quota, isConfined }: Scope): EngineApi {
  const objects = new Objects(engine, access, isConfined);
  const checkLease = leaseCheck(objects);
  return {
    containers: scopedContainers(objects, quota, checkLease),
    lifecycle: scopedLifecycle(objects),
    checkpoints: scopedCheckpoints(objects),
    streams: scopedStreams(objects),
    files: scopedFiles(objects),
    contents: scopedContents(objects),
    exec: scopedExec(objects),
    images: scopedImages(objects),
    transfer: scopedTransfer(objects),
    volumes: scopedVolumes(objects, quota, checkLease),
    volumeContents: scopedVolumeContents(objects, quota, checkLease),
    networks: scopedNetworks(objects, quota, checkLease),
    ports: scopedPorts(objects),
    conditions: scopedConditions(objects),
    egress: scopedEgress(objects),
    system: scopedSystem(objects),
    leases: scopedLeases(objects),
    sockets: noSockets(access),
  };
}

/** Nobody makes a way in from behind one. */
function noSockets(access: Access): SocketsApi {
  const refuse = async (): Promise<never> => {
    throw access.refusal("sockets");
  };
  return { create: refuse, list: refuse, inspect: refuse, remove: refuse, audit: refuse };
}
