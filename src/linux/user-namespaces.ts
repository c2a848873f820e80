import { writeFileSync } from "node:fs";
import { DhowError, errorMessage } from "../lib/mod.ts";
import { O_RDONLY, open } from "./at.ts";
import type { Fd } from "./fd.ts";

/** Namespaces that nobody is in yet; they end with the last descriptor, unless a process has moved in. */
export interface UserNamespaces extends Disposable {
  readonly userns: Fd;
  /** A network namespace that belongs to `userns`: its root may do there what root does. */
  readonly netns: Fd;
}

/** The texts for a user namespace's uid_map and gid_map. @see user_namespaces(7) */
export interface IdMaps {
  readonly uidMap: string;
  readonly gidMap: string;
}

/** A new user namespace with its maps, or one that is there. */
export type UserNamespace = IdMaps | { readonly userns: Fd };

/** A new user namespace in which nobody is anybody yet, held by a process that waits; it ends with this process, at the latest. */
export interface UnmappedNamespaces extends Disposable {
  /** Says who is who and lets the process go. Once. @throws unavailable when the kernel refuses */
  map(maps: IdMaps): UserNamespaces;
}

/** Says that it is there, then waits for its input to end. */
const WAIT = ["/bin/sh", "-c", "echo; read _"] as const;

interface Waiting extends Disposable {
  readonly pid: number;
}

/** Starts a process behind the command line `into`, which ends in a program's; resolves once it runs. */
async function startWaiting(into: readonly string[]): Promise<Waiting> {
  const child = Bun.spawn([...into, ...WAIT], { stdin: "pipe", stdout: "pipe", stderr: "pipe", env: {}, cwd: "/" });
  const reader = child.stdout.getReader();
  const first = await reader.read();
  if (first.done) throw new DhowError("unavailable", `make a user namespace: ${(await child.stderr.text()).trim()}`);
  child.unref();
  return { pid: child.pid, [Symbol.dispose]: () => child.kill("SIGKILL") };
}

function openNamespaces({ pid }: Waiting): UserNamespaces {
  using opened = new DisposableStack();
  const userns = opened.use(open(`/proc/${pid}/ns/user`, O_RDONLY));
  const netns = opened.use(open(`/proc/${pid}/ns/net`, O_RDONLY));
  const kept = opened.move();
  return { userns, netns, [Symbol.dispose]: () => kept.dispose() };
}

/**
 * Makes a user namespace and a network namespace that belongs to it. A process with threads, as this one, can't: util-linux does.
 * @throws unavailable when the kernel refuses
 * @see unshare(1), user_namespaces(7) "Interaction of user namespaces and other types of namespaces"
 */
export async function makeUnmappedNamespaces(): Promise<UnmappedNamespaces> {
  const waiting = await startWaiting(["unshare", "--user", "--net"]);
  return {
    map: ({ uidMap, gidMap }) => {
      using child = waiting;
      try {
        writeFileSync(`/proc/${child.pid}/uid_map`, uidMap);
        writeFileSync(`/proc/${child.pid}/gid_map`, gidMap);
        return openNamespaces(child);
      } catch (cause) {
        throw new DhowError("unavailable", `map the ids of a user namespace: ${errorMessage(cause)}`, { cause });
      }
    },
    [Symbol.dispose]: () => waiting[Symbol.dispose](),
  };
}

/**
 * Makes a user namespace and a network namespace that belongs to it; with a user namespace given only the latter.
 * @throws unavailable when the kernel refuses
 * @see nsenter(1)
 */
export async function makeUserNamespaces(of: UserNamespace): Promise<UserNamespaces> {
  if ("uidMap" in of) return (await makeUnmappedNamespaces()).map(of);
  using waiting = await startWaiting(["nsenter", `--user=/proc/${process.pid}/fd/${of.userns.fd}`, "unshare", "--net"]);
  return openNamespaces(waiting);
}
