import { DhowError, type ErrorKind } from "../lib/mod.ts";

const KIND: Readonly<Record<number, ErrorKind>> = {
  304: "notModified",
  400: "invalid",
  401: "unauthenticated",
  403: "forbidden",
  404: "notFound",
  409: "conflict",
  501: "unsupported",
  503: "unavailable",
};

function messageOf(body: string): string {
  try {
    const { message } = JSON.parse(body) as { readonly message?: unknown };
    if (typeof message === "string") return message.trim();
  } catch {
    // Not every answer is JSON: a hijacked call fails in plain text.
  }
  return body.trim();
}

/** The failure that a status from 304 on stands for, with the server's message; `details.status` holds the status. */
export function responseError(status: number, body: string): DhowError {
  const message = messageOf(body) || `request returned status ${status}`;
  return new DhowError(KIND[status] ?? "internal", message, { details: { status } });
}
