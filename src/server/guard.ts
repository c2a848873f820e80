import { X509Certificate } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { isIP } from "node:net";
import { hostname } from "node:os";
import { DhowError } from "../lib/mod.ts";
import type { ServerTls } from "./tls.ts";

/** Looks at a request's head before anything else does. @throws forbidden */
export type Guard = (incoming: IncomingMessage) => void;

/** Only who may open the socket's file gets here, and a browser is nobody of them: any Host will do, and clients send odd ones. */
export const unixGuard: Guard = () => {};

/** `name:port` without the port, `[::1]` without brackets, in lower case. */
function hostName(host: string): string {
  const bare = host.startsWith("[") ? host.slice(1, host.indexOf("]")) : host.replace(/:\d*$/, "");
  return bare.toLowerCase().replace(/\.$/, "");
}

/**
 * Keeps web pages away from a TCP listener: a browser on this machine, or one that can reach it, would send what any page asks it to.
 * - A page of another site says so, by `Origin` or `Sec-Fetch-Site`.
 * - A page of a site whose name was made to stand for this machine (DNS rebinding) is of the same origin, but gives its name as Host. No
 *   one can do that with an address, with `localhost` (RFC 6761, section 6.3), this machine's own name, or `names`. With TLS the name must be the certificate's,
 *   and a client that showed a certificate of its own is known.
 */
export function tcpGuard(names: readonly string[], tls?: ServerTls): Guard {
  const known = new Set([...names, hostname()].map((name) => name.toLowerCase()));
  const certificate = tls === undefined || tls.isVerified ? undefined : new X509Certificate(tls.cert);
  const isKnown = (name: string): boolean =>
    tls?.isVerified === true ||
    isIP(name) !== 0 ||
    name === "localhost" ||
    name.endsWith(".localhost") ||
    known.has(name) ||
    certificate?.checkHost(name) !== undefined;
  return ({ headers }) => {
    const host = headers.host ?? "";
    const site = headers["sec-fetch-site"];
    if (site !== undefined && site !== "same-origin" && site !== "none") throw refusal(`Sec-Fetch-Site ${JSON.stringify(site)}`);
    const { origin } = headers;
    if (origin !== undefined && originHost(origin) !== host.toLowerCase()) throw refusal(`Origin ${JSON.stringify(origin)}`);
    // none at all is HTTP/1.0, which no browser speaks
    if (host !== "" && !isKnown(hostName(host))) throw refusal(`Host ${JSON.stringify(host)}`);
  };
}

function originHost(origin: string): string | undefined {
  return /^https?:\/\/([^/]+)$/.exec(origin.toLowerCase())?.[1];
}

function refusal(what: string): DhowError {
  return new DhowError("forbidden", `request refused: ${what} is not allowed on this listener (--api-host-allow)`);
}
