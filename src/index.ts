/// <reference lib="esnext.disposable" preserve="true" />
/**
 * A client of a running engine: dhow's own, or any other that speaks Docker's API. Runs on Bun, Node.js and Deno.
 *
 * ```ts
 * import { connect } from "dhow";
 *
 * const dhow = connect();
 * await using box = await dhow.containers.run({ image: "busybox", command: ["sleep", "60"] });
 * console.log(await box.exec(["uname", "-m"]).text());
 * ```
 */
export { DhowError, type DhowErrorOptions, type ErrorKind } from "./lib/errdefs.ts";
export type { SignalOption } from "./sdk/access.ts";
export type { ByteSource, ByteStream } from "./sdk/bytes.ts";
export { type ConnectOptions, connect } from "./sdk/connect.ts";
export { type CommitOptions, Container, type LogOptions, type StopOptions } from "./sdk/container.ts";
export { Containers, type CreateOptions, type ListContainersOptions, type RunOptions } from "./sdk/containers.ts";
export type { ContainerOptions, HealthCheck, MountOption, PublishedPort } from "./sdk/create-request.ts";
export { Dhow, type EventOptions } from "./sdk/dhow.ts";
export { Exec, ExecError, type ExecEvent, type ExecOptions, type ExecResult } from "./sdk/exec.ts";
export { type FileInfo, type FileKind, Files, type WriteOptions } from "./sdk/files.ts";
export type { FilterOptions, FilterWords } from "./sdk/filters.ts";
export { Images, type PullOptions } from "./sdk/images.ts";
export { Network, type NetworkConnectOptions, type NetworkOptions, Networks, type SubnetOptions } from "./sdk/networks.ts";
export { Output, type OutputEvent } from "./sdk/output.ts";
export { Stdin } from "./sdk/stdin.ts";
export type { TlsOptions } from "./sdk/tls.ts";
export { Volume, type VolumeOptions, Volumes } from "./sdk/volumes.ts";
export type * from "./spec/engine/mod.ts";
