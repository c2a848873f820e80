import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { DhowError, errorMessage } from "../../lib/mod.ts";

/** Paths of PEM files and a name; undefined: what the system trusts, no certificate of one's own, the name in the URL. */
export interface EtcdTlsFiles {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  /** The name that the members' certificates are for. */
  readonly serverName?: string | undefined;
}

/** What fetch is given. */
export interface TlsOptions {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly serverName?: string;
}

const quoted = (option: string, path: string): string => `kv.${option} ${JSON.stringify(path)}`;

/** The files of TLS to an etcd, read anew for each connection: whoever renews certificates replaces files. */
export class EtcdTls {
  readonly #files: EtcdTlsFiles;

  constructor(files: EtcdTlsFiles) {
    this.#files = files;
  }

  /** The files as they are now. @throws invalid naming the file, and what is wrong with it; `isAnyTime`: it may have expired */
  async load({ isAnyTime = false }: { readonly isAnyTime?: boolean } = {}): Promise<TlsOptions> {
    const { ca, cert, key, serverName } = this.#files;
    const [caText, certText, keyText] = await Promise.all([read("cacertfile", ca), read("certfile", cert), read("keyfile", key)]);
    if (ca !== undefined) parsed("cacertfile", ca, () => new X509Certificate(caText));
    if (cert !== undefined && key !== undefined) {
      const own = parsed("certfile", cert, () => new X509Certificate(certText));
      const secret = parsed("keyfile", key, () => createPrivateKey(keyText));
      if (!own.checkPrivateKey(secret))
        throw new DhowError("invalid", `${quoted("keyfile", key)} is not the key of ${quoted("certfile", cert)}`);
      if (!isAnyTime && Date.parse(own.validTo) < Date.now())
        throw new DhowError("invalid", `${quoted("certfile", cert)} has expired: it was valid until ${own.validTo}`);
    }
    return {
      ...(ca !== undefined && { ca: caText }),
      ...(cert !== undefined && { cert: certText, key: keyText }),
      ...(serverName !== undefined && { serverName }),
    };
  }

  /** What a failure of a connection comes from, in words that name the setting. */
  explain(error: unknown): string {
    const { ca, cert } = this.#files;
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    switch (code) {
      case "UNABLE_TO_VERIFY_LEAF_SIGNATURE":
      case "UNABLE_TO_GET_ISSUER_CERT":
      case "UNABLE_TO_GET_ISSUER_CERT_LOCALLY":
      case "SELF_SIGNED_CERT_IN_CHAIN":
      case "DEPTH_ZERO_SELF_SIGNED_CERT": {
        const whom =
          ca === undefined ? "no authority that this host trusts (set kv.cacertfile)" : `no authority in ${quoted("cacertfile", ca)}`;
        return `the server's certificate is of ${whom}`;
      }
      case "CERT_HAS_EXPIRED":
        return "the server's certificate has expired";
      case "ERR_TLS_CERT_ALTNAME_INVALID":
        return "the server's certificate is for another name (set kv.servername)";
      case "EPROTO": {
        const own =
          cert === undefined ? "it may want a certificate (set kv.certfile and kv.keyfile)" : `it may refuse ${quoted("certfile", cert)}`;
        return `the server ended the TLS handshake: ${own}`;
      }
      default:
        return errorMessage(error);
    }
  }
}

async function read(option: string, path: string | undefined): Promise<string> {
  if (path === undefined) return "";
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new DhowError("invalid", `read ${quoted(option, path)}: ${errorMessage(cause)}`, { cause });
  }
}

function parsed<T>(option: string, path: string, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    throw new DhowError(
      "invalid",
      `${quoted(option, path)} has no ${option === "keyfile" ? "key" : "certificate"} in PEM: ${errorMessage(cause)}`,
      { cause },
    );
  }
}
