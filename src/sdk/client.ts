import type { AttachOptions, AttachSession, EngineApi, LogSession, LogsOptions } from "../spec/engine/mod.ts";
import type { Address } from "./address.ts";
import { checkpoints, containers, contents, exec, files, lifecycle } from "./api/containers.ts";
import { images, transfer } from "./api/images.ts";
import { conditions, egress, networks, ports } from "./api/networks.ts";
import { Streams, type TtyHint } from "./api/streams.ts";
import { leases, sockets, system } from "./api/system.ts";
import { volumeContents, volumes } from "./api/volumes.ts";
import type { HttpRequest, HttpResponse, RawConnection } from "./http.ts";
import { type ClientOptions, type Pong, Transport } from "./transport.ts";

/** An engine behind its HTTP API. */
export interface EngineClient extends EngineApi {
  readonly address: Address;
  ping(): Promise<Pong>;
  /** The version in use; asks the engine at the first call. */
  apiVersion(): Promise<string>;
  /** A call in the API's own terms; `target` is path and query below the version. @throws what a status from 400 on stands for */
  call(request: HttpRequest): Promise<HttpResponse>;
  /** A response's body as text. */
  text(request: HttpRequest): Promise<string>;
  attach(ref: string, options: AttachOptions & TtyHint): Promise<AttachSession>;
  logs(ref: string, options: LogsOptions & TtyHint): Promise<LogSession>;
  clearLogs(ref: string): Promise<void>;
  /** A connection on which nothing was said yet. @throws unavailable when nobody answers */
  dial(): Promise<RawConnection>;
  /** The engine's interfaces, where every call ends once `signal` is aborted. */
  within(signal: AbortSignal): EngineApi;
  /** Gives every connection up. */
  close(): void;
}

function engineApi(t: Transport, streams: Streams): EngineApi {
  return {
    containers: containers(t),
    lifecycle: lifecycle(t),
    checkpoints: checkpoints(t),
    streams,
    files: files(t),
    contents: contents(t),
    exec: exec(t),
    images: images(t),
    transfer: transfer(t),
    volumes: volumes(t),
    volumeContents: volumeContents(t),
    networks: networks(t),
    ports: ports(t),
    conditions: conditions(t),
    egress: egress(t),
    system: system(t),
    leases: leases(t),
    sockets: sockets(t),
  };
}

/** A client of the engine at `options.host`. Connects at the first call. @throws invalid for an address that is none */
export function createClient(options: ClientOptions): EngineClient {
  const t = Transport.open(options);
  const streams = new Streams(t);
  return {
    ...engineApi(t, streams),
    address: t.http.address,
    ping: () => t.negotiation.ping(),
    apiVersion: () => t.version(),
    call: (request) => t.call(request),
    text: (request) => t.text(request),
    attach: (ref, attachOptions) => streams.attach(ref, attachOptions),
    logs: (ref, logsOptions) => streams.logs(ref, logsOptions),
    clearLogs: (ref) => streams.clearLogs(ref),
    dial: () => t.http.dial(),
    within: (signal) => {
      const scoped = t.within(signal);
      return engineApi(scoped, new Streams(scoped));
    },
    close: () => t.http.close(),
  };
}
