/** Certificates for tests, made by openssl. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Paths of a key pair's PEM files. */
export interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

/** An authority and what it signed. */
export interface Certificates {
  readonly ca: string;
  readonly server: KeyPair;
  readonly client: KeyPair;
  /** The server's, which may be a client, too: as a member of an etcd with `--client-cert-auth` has to. */
  readonly member: KeyPair;
  /** Of a client, signed by the authority, no longer valid. */
  readonly expired: KeyPair;
  /** Of a client, signed by itself. */
  readonly foreign: KeyPair;
}

function openssl(dir: string, ...args: readonly string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(["openssl", ...args], { cwd: dir });
  if (exitCode !== 0) throw new Error(`openssl ${args[0]}: ${stderr}`);
}

const NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

/** Makes certificates in `dir`; the server's is for 127.0.0.1, ::1 and localhost. */
export function makeCertificates(dir: string): Certificates {
  mkdirSync(dir, { recursive: true });
  const pair = (name: string): KeyPair => ({ cert: join(dir, `${name}.pem`), key: join(dir, `${name}-key.pem`) });
  const selfSigned = (name: string): KeyPair => {
    openssl(dir, "req", "-x509", ...NEW_KEY, "-days", "30", "-subj", `/CN=${name}`, "-keyout", `${name}-key.pem`, "-out", `${name}.pem`);
    return pair(name);
  };
  const { cert: ca } = selfSigned("ca");
  const signed = (name: string, usage: string, days: number): KeyPair => {
    writeFileSync(
      join(dir, `${name}.ext`),
      `extendedKeyUsage=${usage}\n${usage.startsWith("serverAuth") ? "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1\n" : ""}`,
    );
    openssl(dir, "req", ...NEW_KEY, "-subj", `/CN=${name}`, "-keyout", `${name}-key.pem`, "-out", `${name}.csr`);
    const by = ["-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial", "-days", String(days), "-extfile", `${name}.ext`];
    openssl(dir, "x509", "-req", "-in", `${name}.csr`, ...by, "-out", `${name}.pem`);
    return pair(name);
  };
  return {
    ca,
    server: signed("server", "serverAuth", 30),
    client: signed("client", "clientAuth", 30),
    member: signed("member", "serverAuth,clientAuth", 30),
    // to the second: it ends when it begins
    expired: signed("expired", "clientAuth", 0),
    foreign: selfSigned("foreign"),
  };
}

/** The contents of a key pair's files. */
export function readPair({ cert, key }: KeyPair): { readonly cert: string; readonly key: string } {
  return { cert: readFileSync(cert, "utf8"), key: readFileSync(key, "utf8") };
}
