/** How the daemon gets into the etcd that hosts share. */
import { readFile } from "node:fs/promises";
import { DhowError, errorMessage } from "../lib/mod.ts";
import { type ClusterSettings, EtcdTls, type EtcdTlsFiles } from "../network/mod.ts";
import type { ClusterConfig } from "./cluster.ts";

/** How the etcd is spoken to; the files are there and are what they are called. @throws invalid naming the file */
export async function clusterAccess({ tls, user }: ClusterConfig): Promise<Pick<ClusterSettings, "tls" | "user">> {
  const files: EtcdTlsFiles = Object.fromEntries(Object.entries(tls).filter(([, text]) => text !== ""));
  // a certificate that has expired is renewed one day: until then networks of this host alone work
  await new EtcdTls(files).load({ isAnyTime: true });
  if (user.name === "") return { tls: files };
  const password = (): Promise<string> => readPassword(user.passwordFile);
  await password();
  return { tls: files, user: { name: user.name, password } };
}

/** The file's text without the end of its line. @throws invalid */
async function readPassword(path: string): Promise<string> {
  try {
    return (await readFile(path, "utf8")).replace(/\r?\n$/, "");
  } catch (cause) {
    throw new DhowError("invalid", `read kv.passwordfile ${JSON.stringify(path)}: ${errorMessage(cause)}`, { cause });
  }
}
