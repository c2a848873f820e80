import { O_CLOEXEC, O_NOCTTY, O_RDWR, open } from "./at.ts";
import { check } from "./errno.ts";
import { Fd } from "./fd.ts";
import { libc, SYS } from "./libc.ts";

const TIOCGWINSZ = 0x5413;
const TIOCSWINSZ = 0x5414;
const TIOCGPTN = 0x80045430;
const TIOCSPTLCK = 0x40045431;
const TIOCGPTPEER = 0x5441;
const TCSANOW = 0;
// struct termios is 60 bytes on Linux' C library
const TERMIOS_SIZE = 64;

export interface Pty extends Disposable {
  readonly master: Fd;
  readonly slave: Fd;
  /** `/dev/pts/N`, in the mount namespace of this process. */
  readonly slavePath: string;
}

/** Opens a new pseudo-terminal, both ends close-on-exec; neither becomes this process's controlling terminal. @throws {SysError} */
export function openPty(): Pty {
  using cleanup = new DisposableStack();
  const master = cleanup.use(open("/dev/ptmx", O_RDWR | O_NOCTTY));
  const number = new Int32Array(1);
  check(libc.symbols.ioctl(master.fd, TIOCSPTLCK, number), "ioctl TIOCSPTLCK", master.fd);
  check(libc.symbols.ioctl(master.fd, TIOCGPTN, number), "ioctl TIOCGPTN", master.fd);
  const slavePath = `/dev/pts/${number[0] ?? 0}`;
  // by the master and not by its path: /dev/pts may be another devpts
  const slave = openPeer(master.fd);
  cleanup.move();
  const close = (): void => {
    master.close();
    slave.close();
  };
  return { master, slave, slavePath, [Symbol.dispose]: close };
}

function openPeer(master: number): Fd {
  const flags = O_RDWR | O_NOCTTY | O_CLOEXEC;
  return new Fd(check(libc.syscall.ints(SYS.ioctl, master, TIOCGPTPEER, flags, 0, 0), "ioctl TIOCGPTPEER", master));
}

/** Sets a terminal's size in characters; its foreground process group gets SIGWINCH when that changes it. @throws {SysError} ENOTTY */
export function setWinsize(fd: number, rows: number, cols: number): void {
  check(libc.symbols.ioctl(fd, TIOCSWINSZ, new Uint16Array([rows, cols, 0, 0])), "ioctl TIOCSWINSZ", fd);
}

/** A terminal's size in characters. @throws {SysError} ENOTTY */
export function getWinsize(fd: number): { readonly rows: number; readonly cols: number } {
  const size = new Uint16Array(4);
  check(libc.symbols.ioctl(fd, TIOCGWINSZ, size), "ioctl TIOCGWINSZ", fd);
  return { rows: size[0] ?? 0, cols: size[1] ?? 0 };
}

/** Makes a terminal raw (no echo, no line editing, no signals, no output changes); returns what sets it back. @throws {SysError} ENOTTY */
export function makeRaw(fd: number): () => void {
  const before = new Uint8Array(TERMIOS_SIZE);
  check(libc.symbols.tcgetattr(fd, before), "tcgetattr", fd);
  const raw = before.slice();
  libc.symbols.cfmakeraw(raw);
  check(libc.symbols.tcsetattr(fd, TCSANOW, raw), "tcsetattr", fd);
  return () => {
    check(libc.symbols.tcsetattr(fd, TCSANOW, before), "tcsetattr", fd);
  };
}

/** Whether `fd` is a terminal. */
export function isatty(fd: number): boolean {
  return libc.symbols.isatty(fd) === 1;
}
