/** How the daemon's TCP sockets are protected: dockerd's rules of what implies what, its default paths and its words. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { DhowError, errnoCode, errorMessage } from "../lib/mod.ts";
import type { ServerTls } from "../server/mod.ts";

/** What was said about TLS; the paths are those of PEM files, empty where there is none. */
export interface TlsConfig {
  /** False: TCP sockets are plain, as was asked for. */
  readonly isOn: boolean;
  /** Clients need a certificate that `ca` has signed. */
  readonly isVerified: boolean;
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** Why a TCP socket is refused of which nothing else was said: by -H alone nobody gives the host away. */
export const UNAUTHENTICATED =
  "listening on TCP without authentication gives root access on this machine to everyone who can reach the socket: " +
  "use --tlsverify, or say so explicitly by '--tls=false' or '--tlsverify=false'";

/** What dockerd says of such a socket. */
export const UNAUTHENTICATED_WARNINGS: readonly string[] = [
  "Binding to IP address without --tlsverify is insecure and gives root access on this machine to everyone who has access to your network.",
  "Binding to an IP address, even on localhost, can also give access to scripts run in a browser. Be safe out there!",
];

const ATTACK_SURFACE = `
         Access to the remote API is equivalent to root access on the host. Refer
         to the 'Docker daemon attack surface' section in the documentation for
         more information: https://docs.docker.com/go/attack-surface/`;

/** What /info warns of in dockerd's words: sockets that let anybody in. */
export function openSocketWarnings(hosts: readonly string[], tls: TlsConfig | undefined): readonly string[] {
  if (tls?.isVerified) return [];
  const open = hosts.filter((host) => host.startsWith("tcp://")).map((host) => host.slice("tcp://".length));
  const [scheme, lack] = tls?.isOn ? ["https", "TLS client verification"] : ["http", "encryption"];
  return open.map((address) => `WARNING: API is accessible on ${scheme}://${address} without ${lack}.${ATTACK_SURFACE}`);
}

type Env = Readonly<Record<string, string | undefined>>;

/** Reads the settings: any word about --tlsverify switches TLS on, and --tls alone verifies. `isTrue` is given a setting's name. */
export function tlsConfig(
  all: (name: string) => readonly string[],
  isTrue: (name: string) => boolean | undefined,
  env: Env,
): TlsConfig | undefined {
  const [tls, tlsVerify] = [isTrue("tls"), isTrue("tlsverify")];
  if (tls === undefined && tlsVerify === undefined) return undefined;
  const directory = env["DOCKER_CERT_PATH"] || join(env["HOME"] || "/root", ".docker");
  const path = (name: string, file: string): string => {
    const given = all(name).at(-1);
    const usual = join(directory, file);
    return given ?? (name === "tlscacert" || existsSync(usual) ? usual : "");
  };
  return {
    isOn: tlsVerify !== undefined || tls === true,
    isVerified: tlsVerify ?? tls === true,
    ca: path("tlscacert", "ca.pem"),
    cert: path("tlscert", "cert.pem"),
    key: path("tlskey", "key.pem"),
  };
}

/** Reads the files. @throws invalid in dockerd's words */
export function readTls({ ca, cert, key, isVerified }: TlsConfig): ServerTls {
  const pair = `(cert: ${JSON.stringify(cert)}, key: ${JSON.stringify(key)})`;
  const [certText, keyText] = [cert, key].map((path) => readPem(path, `could not load X509 key pair ${pair}`));
  checkPair(certText ?? "", keyText ?? "", pair);
  if (!isVerified) return { cert: certText ?? "", key: keyText ?? "", isVerified };
  const caText = readPem(ca, `could not read CA certificate ${JSON.stringify(ca)}`);
  if (!caText.includes("-----BEGIN CERTIFICATE-----")) throw failure(`failed to append certificates from PEM file: ${JSON.stringify(ca)}`);
  return { cert: certText ?? "", key: keyText ?? "", ca: caText, isVerified };
}

function failure(message: string, cause?: unknown): DhowError {
  return new DhowError("invalid", `invalid TLS configuration: ${message}`, { cause });
}

function readPem(path: string, doing: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const why = errnoCode(error) === "ENOENT" ? "no such file or directory" : errorMessage(error);
    throw failure(`${doing}: open ${path}: ${why}`, error);
  }
}

/** @see tlsconfig/config.go of docker/go-connections v0.6 */
function unreadable(pair: string, why: string): string {
  return `error reading X509 key pair - make sure the key is not encrypted ${pair}: ${why}`;
}

function checkPair(cert: string, key: string, pair: string): void {
  let isPair: boolean;
  try {
    isPair = new X509Certificate(cert).checkPrivateKey(createPrivateKey(key));
  } catch (error) {
    throw failure(unreadable(pair, errorMessage(error)), error);
  }
  if (!isPair) throw failure(unreadable(pair, "tls: private key does not match public key"));
}
