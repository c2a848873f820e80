import { check, errno, SysError } from "./errno.ts";
import { Fd } from "./fd.ts";
import { libc } from "./libc.ts";

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;

/**
 * Claims `name` in the calling thread's network namespace until the descriptor is closed or the process ends, however it ends: it is bound
 * as an abstract socket address, which leaves no file behind. `name` has at most 107 bytes. See unix(7).
 * @throws {SysError} EADDRINUSE when it is claimed
 */
export function claimName(name: string): Fd {
  const address = Buffer.from(`\0\0\0${name}`);
  address.writeUInt16LE(AF_UNIX, 0);
  const fd = new Fd(check(libc.symbols.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket"));
  if (libc.symbols.bind(fd.fd, address, address.length) < 0) {
    const code = errno();
    fd.close();
    throw new SysError("bind", code, name);
  }
  return fd;
}
