import { ptr } from "bun:ffi";
import { DhowError } from "../lib/mod.ts";
import { check, SysError } from "./errno.ts";
import { Fd, transfer } from "./fd.ts";
import { errno, libc } from "./libc.ts";

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
const SOCK_NONBLOCK = 0o4000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const SO_PEERCRED = 17;
const MSG_CMSG_CLOEXEC = 0x40000000;
const SUN_PATH_BYTES = 108;
const EAGAIN = 11;

/** Lets `backlog` connections wait at a socket that is listened at already. @throws {SysError} @see listen(2) */
export function listenAgain(fd: number, backlog: number): void {
  check(libc.symbols.listen(fd, backlog), "listen", fd);
}

/**
 * A non-blocking listening socket at `path`, on which `backlog` connections may wait.
 * @throws {SysError} EADDRINUSE @throws invalid when the path is longer than 107 bytes
 */
export function listenUnix(path: string, backlog = 4): Fd {
  const name = Buffer.from(path);
  if (name.length >= SUN_PATH_BYTES)
    throw new DhowError("invalid", `listen on ${path}: a socket's path has at most ${SUN_PATH_BYTES - 1} bytes`);
  // struct sockaddr_un: u16 family, then the path
  const address = Buffer.alloc(2 + SUN_PATH_BYTES);
  address.writeUInt16LE(AF_UNIX, 0);
  name.copy(address, 2);
  using socket = new Fd(check(libc.symbols.socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket"));
  check(libc.symbols.bind(socket.fd, address, address.length), "bind", path);
  check(libc.symbols.listen(socket.fd, backlog), "listen", path);
  return new Fd(socket.release());
}

/** Takes a connection; undefined when none waits. @throws {SysError} */
export function acceptUnix(listener: number): Fd | undefined {
  const fd = libc.symbols.accept4(listener, null, null, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd >= 0) return new Fd(fd);
  const code = errno();
  if (code === EAGAIN) return undefined;
  throw new SysError("accept4", code, listener);
}

/** Who is at the other end of a connection, as it was when it was made; see SO_PEERCRED in unix(7). */
export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** @throws {SysError} EBADF, ENOTSOCK */
export function peerCredentials(socket: number): PeerCredentials {
  // struct ucred: i32 pid, u32 uid, u32 gid
  const value = new DataView(new ArrayBuffer(12));
  const length = new Uint32Array([12]);
  check(libc.symbols.getsockopt(socket, SOL_SOCKET, SO_PEERCRED, new Uint8Array(value.buffer), length), "getsockopt SO_PEERCRED", socket);
  return { pid: value.getInt32(0, true), uid: value.getUint32(4, true), gid: value.getUint32(8, true) };
}

/** Receives one descriptor sent with SCM_RIGHTS: undefined when nothing waits, null when the peer hung up or sent none. @throws {SysError} */
export function receiveFd(socket: number): Fd | null | undefined {
  const data = new Uint8Array(64);
  // struct cmsghdr: u64 length, i32 level, i32 type, then i32 descriptors
  const control = Buffer.alloc(32);
  const iovec = new BigUint64Array([BigInt(ptr(data)), BigInt(data.length)]);
  // struct msghdr: name, namelen, iov, iovlen, control, controllen, flags; 8 bytes each with padding
  const header = new BigUint64Array([0n, 0n, BigInt(ptr(iovec)), 1n, BigInt(ptr(control)), BigInt(control.length), 0n]);
  const count = transfer(() => libc.symbols.recvmsg(socket, header, MSG_CMSG_CLOEXEC), "recvmsg", socket);
  // the message's parts must live until here: the header holds only their addresses
  if (count < 0 || iovec.length + data.length === 0) return undefined;
  const controlBytes = Number(header[5] ?? 0n);
  if (controlBytes < 20 || control.readInt32LE(8) !== SOL_SOCKET || control.readInt32LE(12) !== SCM_RIGHTS) return null;
  return new Fd(control.readInt32LE(16));
}
