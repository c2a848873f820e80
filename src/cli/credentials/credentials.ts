import { type AuthEntry, readConfig, writeConfig } from "../config-file.ts";
import { eraseWithHelper, getFromHelper, helperFor, storeWithHelper } from "./helper.ts";

/** The registry that is meant when none is named, under the name by which its credentials are kept. */
export const DEFAULT_REGISTRY = "https://index.docker.io/v1/";

/** What a user proves himself with to a registry. */
export interface Auth {
  readonly username: string;
  readonly password: string;
  readonly identityToken: string;
}

/** `https://registry.example:5000/v2/` as `registry.example:5000`. */
export function hostOf(address: string): string {
  return address.replace(/^https?:\/\//, "").split("/", 1)[0] ?? "";
}

function decode({ auth = "", identitytoken = "" }: AuthEntry): Auth {
  const text = Buffer.from(auth, "base64").toString();
  const at = text.indexOf(":");
  return {
    username: at < 0 ? "" : text.slice(0, at),
    password: at < 0 ? "" : text.slice(at + 1).replace(/\0+$/, ""),
    identityToken: identitytoken,
  };
}

function encode({ username, password, identityToken }: Auth): AuthEntry {
  return {
    auth: Buffer.from(`${username}:${password}`).toString("base64"),
    ...(identityToken === "" ? {} : { identitytoken: identityToken }),
  };
}

/** The credentials that are kept for a registry; undefined when there are none. */
export async function getCredentials(configDir: string, server: string): Promise<Auth | undefined> {
  const config = readConfig(configDir);
  const helper = helperFor(config, server);
  if (helper !== undefined) return getFromHelper(helper, server);
  const auths = config.auths ?? {};
  // once they were kept under whole URLs
  const entry = auths[server] ?? Object.entries(auths).find(([key]) => hostOf(key) === server)?.[1];
  return entry && decode(entry);
}

/** Keeps credentials; tells whether a secret is in config.json now, for everybody who can read that. */
export async function storeCredentials(configDir: string, server: string, auth: Auth): Promise<{ readonly isPlain: boolean }> {
  const config = readConfig(configDir);
  const helper = helperFor(config, server);
  if (helper !== undefined) await storeWithHelper(helper, server, auth);
  // with a helper the entry says only that there are some
  writeConfig(configDir, { ...config, auths: { ...config.auths, [server]: helper === undefined ? encode(auth) : {} } });
  return { isPlain: helper === undefined && auth.password !== "" };
}

/** Forgets credentials; those that aren't there are fine. */
export async function eraseCredentials(configDir: string, server: string): Promise<void> {
  const config = readConfig(configDir);
  const helper = helperFor(config, server);
  if (helper !== undefined) await eraseWithHelper(helper, server);
  if (config.auths?.[server] === undefined) return;
  const { [server]: _, ...auths } = config.auths;
  writeConfig(configDir, { ...config, auths });
}
