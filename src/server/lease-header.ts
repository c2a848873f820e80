import { DhowError, errorMessage, isKind } from "../lib/mod.ts";
import { LEASE_HEADER, LEASE_LABEL, type LeasesApi, type ProgressMessage } from "../spec/engine/mod.ts";
import type { ApiRequest } from "./request.ts";

/** The lease that a request's header binds what it makes to; undefined without one. @throws invalid when there is no such lease */
export async function requestedLease(request: ApiRequest, leases: LeasesApi): Promise<string | undefined> {
  const ref = request.header(LEASE_HEADER);
  if (ref === "") return undefined;
  try {
    return (await leases.inspect(ref)).Id;
  } catch (error) {
    // no 404: clients would take the image for missing
    throw isKind(error, "notFound") ? new DhowError("invalid", errorMessage(error), { cause: error }) : error;
  }
}

/** A create request with the label of the lease that its header names. @throws invalid when there is none, or its own label says another */
export async function withLease<T extends { readonly Labels?: Readonly<Record<string, string>> | null | undefined }>(
  request: ApiRequest,
  body: T,
  leases: LeasesApi,
): Promise<T> {
  const lease = await requestedLease(request, leases);
  if (lease === undefined) return body;
  const own = body.Labels?.[LEASE_LABEL];
  if (own !== undefined && own !== lease) {
    throw new DhowError("invalid", `the label ${LEASE_LABEL} and the header X-Dhow-Lease name different leases`);
  }
  return { ...body, Labels: { ...body.Labels, [LEASE_LABEL]: lease } };
}

const LOADED = /^Loaded image(?: ID)?: (\S+)\n?$/;
const PULLED = /^Status: Downloaded newer image for (\S+)$/;

/** Progress lines; images that they tell of become the lease's. */
export async function* bindingImages(
  lines: AsyncIterable<ProgressMessage>,
  lease: string | undefined,
  leases: LeasesApi,
): AsyncIterable<ProgressMessage> {
  for await (const line of lines) {
    const name = LOADED.exec(line.stream ?? "")?.[1] ?? PULLED.exec(line.status ?? "")?.[1];
    if (lease !== undefined && name !== undefined) await leases.addImage(lease, name);
    yield line;
  }
}
