import { randomBytes } from "node:crypto";

/** A new 64-hex-digit id, in docker's form: its 12-digit short form is never all digits, because that reads as a number. */
export function randomId(): string {
  for (;;) {
    const id = randomBytes(32).toString("hex");
    if (!/^\d+$/.test(id.slice(0, 12))) return id;
  }
}

/** The first 12 hex digits of an id or digest (`sha256:` is dropped). */
export function shortId(id: string): string {
  return id.replace(/^sha256:/, "").slice(0, 12);
}
