/** How to speak TLS with an engine; texts in PEM. Without `ca` the system's authorities count. */
export interface TlsOptions {
  readonly ca?: string | undefined;
  /** The client's own certificate, for an engine that asks for one. */
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  /** False takes any certificate of the engine: docker's `--tls` without `--tlsverify`. */
  readonly isVerified: boolean;
}

const UNKNOWN_AUTHORITY: ReadonlySet<string> = new Set([
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
]);

/** What an alert of the other side is called in Go's words, by OpenSSL's (RFC 8446, section 6). */
const ALERTS: readonly (readonly [RegExp, string])[] = [
  [/certificate.?required/i, "certificate required"],
  [/unknown.?ca/i, "unknown certificate authority"],
  [/certificate.?expired/i, "expired certificate"],
  [/bad.?certificate/i, "bad certificate"],
  [/certificate.?unknown/i, "unknown certificate"],
  [/handshake.?failure/i, "handshake failure"],
  [/protocol.?version/i, "protocol version not supported"],
];

/** Go's words for a failure of TLS; undefined when `error` is none. */
export function tlsFailure(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  const reject = (why: string): string => `tls: failed to verify certificate: x509: ${why}`;
  if (UNKNOWN_AUTHORITY.has(code)) return reject("certificate signed by unknown authority");
  if (code === "CERT_HAS_EXPIRED" || code === "CERT_NOT_YET_VALID") return reject("certificate has expired or is not yet valid");
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") return reject(nameMismatch(error));
  const words = `${code} ${error.message}`;
  if (!/^ERR_(SSL|TLS|OSSL)|^EPROTO|SSL routines/.test(words)) return undefined;
  if (/wrong.?version.?number|http.?request/i.test(words)) return "http: server gave HTTP response to HTTPS client";
  const alert = ALERTS.find(([pattern]) => pattern.test(words));
  return alert === undefined ? `tls: ${error.message}` : `remote error: tls: ${alert[1]}`;
}

function nameMismatch(error: Error & { readonly host?: unknown; readonly cert?: { readonly subjectaltname?: string } }): string {
  const names = (error.cert?.subjectaltname ?? "").split(", ").map((name) => name.slice(name.indexOf(":") + 1));
  return `certificate is valid for ${names.join(", ")}, not ${String(error.host ?? "")}`;
}
