import { type DhowError, errorMessage, isKind } from "../../../lib/mod.ts";
import { command, maxArgs } from "../../command.ts";
import { configPath } from "../../config-file.ts";
import type { Context } from "../../context.ts";
import { type Auth, DEFAULT_REGISTRY, getCredentials, hostOf, storeCredentials } from "../../credentials/credentials.ts";
import { BOOLEAN, STRING } from "../../flag-kinds.ts";
import { canPrompt, prompt } from "../../terminal/prompt.ts";

const HUB_HINT =
  "Log in with your Docker ID or email address to push and pull images from Docker Hub. If you don't have a Docker ID, head over to https://hub.docker.com/ to create one.\n" +
  "You can log in with your password or a Personal Access Token (PAT). Using a limited-scope PAT grants better security and is required for organizations using SSO. Learn more at https://docs.docker.com/go/access-tokens/\n";

interface Given {
  readonly username: string;
  readonly password: string;
}

/** What the user wrote, or is asked for. */
async function credentialsFor(ctx: Context, server: string, given: Given, knownUser: string): Promise<Given> {
  if (given.username !== "" && given.password !== "") return given;
  if (!canPrompt()) throw new Error("Error: Cannot perform an interactive login from a non TTY device");
  let { username, password } = given;
  if (username === "") {
    if (server === DEFAULT_REGISTRY) ctx.out(HUB_HINT);
    const question = knownUser === "" ? "Username: " : `Username (${knownUser}): `;
    username = (await prompt(ctx, question, { isShown: true })).trim() || knownUser;
    if (username === "") throw new Error("Error: Non-null Username Required");
  }
  if (password === "") {
    password = await prompt(ctx, "Password: ", { isShown: false });
    if (password === "") throw new Error("Error: Password Required");
  }
  return { username, password };
}

/** Asks the engine to log in, and keeps what counts from now on; what `isKept` already stays. Returns what to tell the user. */
async function logIn(ctx: Context, server: string, auth: Auth, isKept: boolean): Promise<string> {
  const { username, password, identityToken } = auth;
  const credentials = { username, password, ...(identityToken && { identitytoken: identityToken }), serveraddress: server };
  const { Status = "", IdentityToken = "" } = await ctx.api.system.authenticate(credentials, {});
  if (isKept && IdentityToken === "") return Status;
  const kept = IdentityToken === "" ? auth : { username, password: "", identityToken: IdentityToken };
  const { isPlain } = await storeCredentials(ctx.configDir, server, kept);
  if (isPlain) {
    ctx.warn(
      `\nWARNING! Your credentials are stored unencrypted in '${configPath(ctx.configDir)}'.\n` +
        "Configure a credential helper to remove this warning. See\nhttps://docs.docker.com/go/credential-store/\n",
    );
  }
  return Status;
}

/** Tries what is kept. Returns undefined when the registry doesn't take it. */
async function logInAgain(ctx: Context, server: string, auth: Auth): Promise<string | undefined> {
  ctx.warn(`Authenticating with existing credentials... [Username: ${auth.username}]\n`);
  ctx.warn(" Info -> To login with a different account, run 'docker logout' followed by 'docker login'\n\n");
  try {
    return await logIn(ctx, server, auth, true);
  } catch (error) {
    const isRefused = isKind(error as DhowError, "unauthenticated");
    ctx.warn(isRefused ? "Stored credentials invalid or expired" : `Login did not succeed, error: ${errorMessage(error)}`);
    return undefined;
  }
}

async function passwordFrom(flags: { readonly username: string; readonly password: string; readonly "password-stdin": boolean }) {
  if (!flags["password-stdin"]) return flags.password;
  if (flags.username === "") throw new Error("the --password-stdin option requires --username to be set");
  return (await Bun.stdin.text()).replace(/\n$/, "").replace(/\r$/, "");
}

export const login = command({
  use: "[OPTIONS] [SERVER]",
  short: "Authenticate to a registry",
  long: "Authenticate to a registry.\nDefaults to Docker Hub if no server is specified.",
  args: maxArgs(1),
  flags: {
    password: { kind: STRING, short: "p", help: "Password or Personal Access Token (PAT)" },
    "password-stdin": { kind: BOOLEAN, help: "Take the Password or Personal Access Token (PAT) from stdin" },
    username: { kind: STRING, short: "u", help: "Username" },
  },
  run: async (ctx, [address = ""], flags) => {
    if (flags.password !== "" && flags["password-stdin"]) {
      throw new Error("conflicting options: cannot specify both --password and --password-stdin");
    }
    if (flags.password !== "") ctx.warn("WARNING! Using --password via the CLI is insecure. Use --password-stdin.");
    const password = await passwordFrom(flags);
    const server = ["", "docker.io", DEFAULT_REGISTRY].includes(address) ? DEFAULT_REGISTRY : hostOf(address);
    const stored = flags.username === "" && password === "" ? await getCredentials(ctx.configDir, server) : undefined;
    const again = stored?.username && stored.password ? await logInAgain(ctx, server, stored) : undefined;
    if (again !== undefined) {
      ctx.out(again);
      return;
    }
    const asked = await credentialsFor(ctx, server, { username: flags.username, password }, stored?.username ?? "");
    ctx.out(await logIn(ctx, server, { ...asked, identityToken: "" }, false));
  },
});
