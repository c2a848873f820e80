import { check } from "../errno.ts";
import { Fd } from "../fd.ts";
import { libc } from "../libc.ts";

const CLONE_NEWNET = 0x40000000;
const AT_FDCWD = -100;
const O_CLOEXEC = 0o2000000;
const THREAD_NETNS = Buffer.from("/proc/thread-self/ns/net\0");

function openCurrent(): Fd {
  return new Fd(check(libc.symbols.openat64(AT_FDCWD, THREAD_NETNS, O_CLOEXEC, 0), "open", "/proc/thread-self/ns/net"));
}

/** A descriptor of the network namespace that the calling thread is in. @throws {SysError} */
export function currentNetns(): Fd {
  return openCurrent();
}

/**
 * Makes a network namespace and runs `inside` with this thread in it; the thread is back in `home` when this returns.
 * The namespace lives as long as the returned descriptor, or a process or socket in it.
 * `inside` must not await. When the thread can't get back, the process ends: it must never go on in a wrong network.
 * @throws {SysError} what unshare says; whatever `inside` throws
 */
export function createNetnsFd(home: Fd, inside: (netns: Fd) => void): Fd {
  check(libc.symbols.unshare(CLONE_NEWNET), "unshare", "CLONE_NEWNET");
  let netns: Fd | undefined;
  try {
    netns = openCurrent();
    inside(netns);
    return netns;
  } catch (error) {
    netns?.close();
    throw error;
  } finally {
    comeBack(home);
  }
}

function comeBack(home: Fd): void {
  if (libc.symbols.setns(home.fd, CLONE_NEWNET) === 0) return;
  process.stderr.write("fatal: can't return to the daemon's network namespace\n");
  process.exit(70);
}

/** Runs `inside` with this thread in the namespace of `netnsFd`; see `createNetnsFd` for what holds there. @throws {SysError} */
export function insideNetns<T>(home: Fd, netnsFd: number, inside: () => T): T {
  check(libc.symbols.setns(netnsFd, CLONE_NEWNET), "setns", netnsFd);
  try {
    return inside();
  } finally {
    comeBack(home);
  }
}
