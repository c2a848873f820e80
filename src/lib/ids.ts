/** A new 64-hex-digit id, in docker's form: its 12-digit short form is never all digits, because that reads as a number. */
export function randomId(): string {
  for (;;) {
    const id = randomHex(32);
    if (!/^\d+$/.test(id.slice(0, 12))) return id;
  }
}

/** The first 12 hex digits of an id or digest (`sha256:` is dropped). */
export function shortId(id: string): string {
  return id.replace(/^sha256:/, "").slice(0, 12);
}

/** `bytes` random bytes as hex digits. From the global, because loading node:crypto costs the command line 4 ms. */
export function randomHex(bytes: number): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(bytes))).toString("hex");
}
