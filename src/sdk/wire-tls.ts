import { isIP } from "node:net";
import { connect } from "node:tls";
import type { Address } from "./address.ts";
import type { TlsOptions } from "./tls.ts";
import type { Wire, WireEvents } from "./wire.ts";
import { socketWire } from "./wire-node.ts";

/** Connects with `node:tls`, which half-closes by TLS's own close_notify, as Go does. @throws what TLS or the system says */
export function connectTls(address: Address & { readonly kind: "tcp" }, tls: TlsOptions, events: WireEvents): Promise<Wire> {
  const { host, port } = address;
  const { ca, cert, key, isVerified } = tls;
  return new Promise((resolve, reject) => {
    const socket = connect({
      host,
      port,
      ca,
      cert,
      key,
      rejectUnauthorized: isVerified,
      ALPNProtocols: ["http/1.1"],
      minVersion: "TLSv1.2",
      // a name for the server to choose by; an address is none (RFC 6066, section 3)
      ...(isIP(host) === 0 ? { servername: host } : {}),
      ...{ allowHalfOpen: true },
    });
    const fail = (error: Error): void => {
      socket.destroy();
      reject(error);
    };
    const cut = (): void => reject(Object.assign(new Error("EOF"), { code: "ECONNRESET" }));
    socket.once("error", fail);
    socket.once("close", cut);
    socket.once("secureConnect", () => {
      socket.off("error", fail);
      socket.off("close", cut);
      socket.setNoDelay(true);
      resolve(socketWire(socket, events));
    });
  });
}
