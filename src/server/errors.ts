import { STATUS_CODES } from "node:http";
import { type ErrorKind, errorKind, errorMessage } from "../lib/mod.ts";

const STATUS: Readonly<Record<ErrorKind, number>> = {
  invalid: 400,
  unauthenticated: 401,
  forbidden: 403,
  notFound: 404,
  conflict: 409,
  notModified: 304,
  unavailable: 503,
  unsupported: 501,
  internal: 500,
};

/** The HTTP status of a failure. */
export function httpStatus(error: unknown): number {
  return STATUS[errorKind(error)] ?? 500;
}

/** Docker's body of a failure. */
export function errorBody(error: unknown): string {
  return `${JSON.stringify({ message: errorMessage(error) })}\n`;
}

/** The last line of a progress stream that failed. */
export function progressError(error: unknown): string {
  const message = errorMessage(error);
  return `${JSON.stringify({ errorDetail: { message }, error: message })}\r\n`;
}

/** A failure on a connection that a client meant to hijack: dockerd answers with plain text there. */
export function rawErrorResponse(error: unknown): string {
  const status = httpStatus(error);
  return `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n${errorMessage(error)}\r\n`;
}
