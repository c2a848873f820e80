import type { ConfigFile } from "../config-file.ts";
import type { Auth } from "./credentials.ts";

/**
 * Programs that keep credentials: `docker-credential-<name> get|store|erase`, asked on stdin, answering on stdout.
 * @see https://github.com/docker/docker-credential-helpers/blob/v0.9.3/README.md
 */

/** The user's name that stands for "the secret is an identity token". */
const TOKEN_USER = "<token>";
const NOT_FOUND = "credentials not found in native keychain";

/** The helper for a registry: its own, the one for all, or, in a config without credentials, the one that the system has. */
export function helperFor(config: ConfigFile, server: string): string | undefined {
  const configured = config.credHelpers?.[server] || config.credsStore;
  if (configured) return configured;
  if (Object.keys(config.auths ?? {}).length > 0 || Object.keys(config.credHelpers ?? {}).length > 0) return undefined;
  const usual = Bun.which("pass") === null ? "secretservice" : "pass";
  return Bun.which(`docker-credential-${usual}`) === null ? undefined : usual;
}

async function run(helper: string, action: "get" | "store" | "erase", input: string): Promise<string> {
  const program = `docker-credential-${helper}`;
  const path = Bun.which(program);
  if (path === null)
    throw new Error(`error getting credentials - err: exec: ${JSON.stringify(program)}: executable file not found in $PATH, out: \`\``);
  const child = Bun.spawn([path, action], { stdin: Buffer.from(input), stdout: "pipe", stderr: "inherit" });
  const [output, exitCode] = await Promise.all([child.stdout.text(), child.exited]);
  if (exitCode === 0) return output;
  const verb = { get: "getting", store: "storing", erase: "erasing" }[action];
  throw new Error(`error ${verb} credentials - err: exit status ${exitCode}, out: \`${output.trim()}\``);
}

export async function getFromHelper(helper: string, server: string): Promise<Auth | undefined> {
  let answer: string;
  try {
    answer = await run(helper, "get", server);
  } catch (error) {
    if (error instanceof Error && error.message.includes(NOT_FOUND)) return undefined;
    throw error;
  }
  const { Username = "", Secret = "" } = JSON.parse(answer) as { readonly Username?: string; readonly Secret?: string };
  return Username === TOKEN_USER
    ? { username: "", password: "", identityToken: Secret }
    : { username: Username, password: Secret, identityToken: "" };
}

export async function storeWithHelper(helper: string, server: string, { username, password, identityToken }: Auth): Promise<void> {
  const isToken = identityToken !== "";
  const credentials = { ServerURL: server, Username: isToken ? TOKEN_USER : username, Secret: isToken ? identityToken : password };
  await run(helper, "store", JSON.stringify(credentials));
}

export async function eraseWithHelper(helper: string, server: string): Promise<void> {
  try {
    await run(helper, "erase", server);
  } catch (error) {
    if (!(error instanceof Error && error.message.includes(NOT_FOUND))) throw error;
  }
}
