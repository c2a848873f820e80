import { writeFileSync } from "node:fs";
import { DhowError } from "../lib/mod.ts";
import { O_RDONLY, open } from "./at.ts";
import type { Fd } from "./fd.ts";

/** Namespaces that nobody is in yet; they end with the last descriptor, unless a process has moved in. */
export interface UserNamespaces extends Disposable {
  readonly userns: Fd;
  /** A network namespace that belongs to `userns`: its root may do there what root does. */
  readonly netns: Fd;
}

/** A new user namespace with the texts of its uid_map and gid_map, or one that is there. @see user_namespaces(7) */
export type UserNamespace = { readonly uidMap: string; readonly gidMap: string } | { readonly userns: Fd };

/** Says that it is there, then waits for its input to end: with this process, at the latest. */
const WAIT = ["/bin/sh", "-c", "echo; read _"] as const;

/**
 * Makes a user namespace and a network namespace that belongs to it; with a user namespace given only the latter. A process with
 * threads, as this one, can't make a user namespace: util-linux does it in a process that is gone when this returns.
 * @throws unavailable when the kernel refuses
 * @see unshare(1), nsenter(1), user_namespaces(7) "Interaction of user namespaces and other types of namespaces"
 */
export async function makeUserNamespaces(of: UserNamespace): Promise<UserNamespaces> {
  const isNew = "uidMap" in of;
  const line = isNew ? ["unshare", "--user"] : ["nsenter", `--user=/proc/${process.pid}/fd/${of.userns.fd}`, "unshare"];
  const child = Bun.spawn([...line, "--net", ...WAIT], { stdin: "pipe", stdout: "pipe", stderr: "pipe", env: {}, cwd: "/" });
  try {
    const first = await child.stdout.getReader().read();
    if (first.done) throw new DhowError("unavailable", `make a user namespace: ${(await child.stderr.text()).trim()}`);
    if (isNew) {
      writeFileSync(`/proc/${child.pid}/uid_map`, of.uidMap);
      writeFileSync(`/proc/${child.pid}/gid_map`, of.gidMap);
    }
    using opened = new DisposableStack();
    const userns = opened.use(open(`/proc/${child.pid}/ns/user`, O_RDONLY));
    const netns = opened.use(open(`/proc/${child.pid}/ns/net`, O_RDONLY));
    const kept = opened.move();
    return { userns, netns, [Symbol.dispose]: () => kept.dispose() };
  } finally {
    child.kill("SIGKILL");
  }
}
