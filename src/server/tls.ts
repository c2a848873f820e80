import { constants } from "node:crypto";
import type { Server as NetServer, Socket } from "node:net";
import { createServer, type TLSSocket } from "node:tls";
import { errorMessage, type Logger } from "../lib/mod.ts";
import { errorBody } from "./errors.ts";

/** What a listener shows its clients, in PEM, and whom it lets in. */
export interface ServerTls {
  readonly cert: string;
  readonly key: string;
  /** Who signs clients' certificates. */
  readonly ca?: string | undefined;
  /** Whether a client needs a certificate: without one, whoever connects is root on the host. */
  readonly isVerified: boolean;
}

/** Who connects and says nothing holds a descriptor, and nobody else up: so long. */
const HANDSHAKE_TIMEOUT_MS = 30_000;

const UNKNOWN_AUTHORITY = "tls: failed to verify certificate: x509: certificate signed by unknown authority";

/** Why a client's certificate doesn't count, in Go's words, by OpenSSL's codes (x509 verify). */
function refusal(code: string): string {
  switch (code) {
    case "CERT_HAS_EXPIRED":
    case "CERT_NOT_YET_VALID":
      return "tls: failed to verify certificate: x509: certificate has expired or is not yet valid";
    case "INVALID_PURPOSE":
      return "tls: failed to verify certificate: x509: certificate specifies an incompatible key usage";
    case "UNABLE_TO_GET_ISSUER_CERT":
      return "tls: client didn't provide a certificate";
    default:
      return UNKNOWN_AUTHORITY;
  }
}

/** A server whose certificates can be replaced. */
export interface TlsServer {
  readonly acceptor: NetServer;
  /** What is shown and asked for in handshakes from now on; connections that are open go on. */
  readonly renew: (tls: Pick<ServerTls, "cert" | "key" | "ca">) => void;
}

/**
 * Makes a server that shakes hands and hands on whom it lets in. A client without a good certificate gets its reason as an HTTP answer, and
 * nothing that it sends is looked at: by its end of the handshake, TLS 1.3 has made its connection already.
 */
export function createTlsServer(tls: ServerTls, log: Logger, admit: (socket: Socket) => void): TlsServer {
  const settings = {
    requestCert: tls.isVerified,
    rejectUnauthorized: false,
    minVersion: "TLSv1.2",
    // every client shows its certificate each time: a resumed session would outlive one that expires
    secureOptions: constants.SSL_OP_NO_TICKET,
    ALPNProtocols: ["http/1.1"],
    allowHalfOpen: true,
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
  } as const;
  const server = createServer({ ...settings, cert: tls.cert, key: tls.key, ca: tls.ca }, (socket) => {
    // whoever isn't known here must not get further, whatever else is true
    if (!tls.isVerified || (socket.authorized && isIdentified(socket))) admit(socket);
    else refuse(socket, log);
  });
  server.on("tlsClientError", (error: Error, socket: TLSSocket) => {
    log.debug("http: TLS handshake error", { from: socket.remoteAddress, error: errorMessage(error) });
    socket.destroy();
  });
  return { acceptor: server, renew: ({ cert, key, ca }) => server.setSecureContext({ ...settings, cert, key, ca }) };
}

/** Node calls a resumed session authorized that never had a certificate; that there is one is looked at, too. */
function isIdentified(socket: TLSSocket): boolean {
  return (socket.getPeerCertificate().raw?.length ?? 0) > 0 && !socket.isSessionReused();
}

function refuse(socket: TLSSocket, log: Logger): void {
  const message = refusal(String(socket.authorizationError ?? ""));
  log.warn("http: TLS handshake error", { from: socket.remoteAddress, error: message });
  const body = errorBody(new Error(message));
  const head = ["HTTP/1.1 401 Unauthorized", "Content-Type: application/json", `Content-Length: ${Buffer.byteLength(body)}`];
  socket.on("error", () => {});
  // what was sent meanwhile is read and dropped: closing over it would make a reset of the answer
  socket.resume();
  socket.end(`${head.join("\r\n")}\r\nConnection: close\r\n\r\n${body}`);
  socket.on("end", () => socket.destroy());
  const timer = setTimeout(() => socket.destroy(), HANDSHAKE_TIMEOUT_MS);
  timer.unref();
  socket.on("close", () => clearTimeout(timer));
}
