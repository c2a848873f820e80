import { ptr } from "bun:ffi";
import { DhowError } from "../lib/mod.ts";
import { check, SysError } from "./errno.ts";
import { Fd } from "./fd.ts";
import { socketAddress } from "./inet.ts";
import { errno, libc } from "./libc.ts";

const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const SOCK_NONBLOCK = 0o4000;
const MSG_NOSIGNAL = 0x4000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const SUN_PATH_BYTES = 108;
const EAGAIN = 11;
const ENOBUFS = 105;
const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const F_ADD_SEALS = 1033;
/** F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE: what journald asks of a memfd. */
const SEALS = 0xf;

function connected(family: number, address: Uint8Array, name: string): Fd {
  using socket = new Fd(check(libc.symbols.socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket"));
  check(libc.symbols.connect(socket.fd, address, address.length), "connect", name);
  return new Fd(socket.release());
}

/** A non-blocking datagram socket connected to the one at `path`. @throws {SysError} ENOENT, ECONNREFUSED, EPROTOTYPE @throws invalid for a long path */
export function connectUnixDatagram(path: string): Fd {
  const name = Buffer.from(path);
  if (name.length >= SUN_PATH_BYTES) throw new DhowError("invalid", `connect to ${path}: a socket's path has at most 107 bytes`);
  // struct sockaddr_un: u16 family, then the path
  const address = Buffer.alloc(2 + SUN_PATH_BYTES);
  address.writeUInt16LE(AF_UNIX, 0);
  name.copy(address, 2);
  return connected(AF_UNIX, address, path);
}

/** A non-blocking UDP socket connected to an address of four or sixteen bytes; see `socketAddress` for `scope`. @throws {SysError} */
export function connectUdp(address: Uint8Array, port: number, scope = 0): Fd {
  return connected(address.length === 16 ? AF_INET6 : AF_INET, socketAddress(address, port, scope), String(port));
}

/** Sends one datagram; false when the receiver's queue or the socket's buffer is full. @throws {SysError} EMSGSIZE, ECONNREFUSED, … */
export function sendDatagram(socket: number, data: Uint8Array): boolean {
  if (libc.symbols.send(socket, data, data.length, MSG_NOSIGNAL) >= 0) return true;
  const code = errno();
  if (code === EAGAIN || code === ENOBUFS) return false;
  throw new SysError("send", code, socket);
}

/** Sends an empty datagram with one descriptor (SCM_RIGHTS, unix(7)); false when the receiver's queue is full. @throws {SysError} */
export function sendFdDatagram(socket: number, fd: number): boolean {
  // struct cmsghdr: u64 length, i32 level, i32 type, then i32 descriptors
  const control = Buffer.alloc(24);
  control.writeBigUInt64LE(20n, 0);
  control.writeInt32LE(SOL_SOCKET, 8);
  control.writeInt32LE(SCM_RIGHTS, 12);
  control.writeInt32LE(fd, 16);
  // struct msghdr: name, namelen, iov, iovlen, control, controllen, flags; 8 bytes each with padding
  const header = new BigUint64Array([0n, 0n, 0n, 0n, BigInt(ptr(control)), BigInt(control.length), 0n]);
  const count = libc.symbols.sendmsg(socket, header, MSG_NOSIGNAL);
  const code = count < 0 ? errno() : 0;
  // the control part must live until here: the header holds only its address
  if (control.length === 0 || count >= 0) return true;
  if (code === EAGAIN || code === ENOBUFS) return false;
  throw new SysError("sendmsg", code, socket);
}

/** An unnamed file in memory with these bytes, which nobody can change any more (memfd_create(2)). @throws {SysError} */
export function sealedMemoryFile(name: string, data: Uint8Array): Fd {
  using file = new Fd(check(libc.symbols.memfd_create(Buffer.from(`${name}\0`), MFD_CLOEXEC | MFD_ALLOW_SEALING), "memfd_create"));
  for (let done = 0; done < data.length; ) {
    const rest = data.subarray(done);
    done += check(libc.symbols.write(file.fd, rest, rest.length), "write", name);
  }
  check(libc.symbols.fcntl(file.fd, F_ADD_SEALS, SEALS), "fcntl", name);
  return new Fd(file.release());
}
