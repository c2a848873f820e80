import { check, errno, SysError } from "./errno.ts";
import { Fd, transfer, wasInterrupted } from "./fd.ts";
import { libc } from "./libc.ts";

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const SOCK_NONBLOCK = 0o4000;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;
const SO_ERROR = 4;
const MSG_NOSIGNAL = 0x4000;
const EINPROGRESS = 115;

export interface InetBinding {
  readonly protocol: "tcp" | "udp" | "sctp";
  /** Four bytes (IPv4) or sixteen (IPv6), in network order. */
  readonly address: Uint8Array;
  /** 0 lets the kernel choose. */
  readonly port: number;
}

const IPPROTO = { tcp: 6, udp: 17, sctp: 132 } as const;

/** sockaddr_in or sockaddr_in6, see ip(7) and ipv6(7). `scope` is the interface's index, which a link-local IPv6 address needs. */
export function socketAddress(address: Uint8Array, port: number, scope = 0): Uint8Array {
  const isV6 = address.length === 16;
  const bytes = new Uint8Array(isV6 ? 28 : 16);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, isV6 ? AF_INET6 : AF_INET, true);
  view.setUint16(2, port, false);
  bytes.set(address, isV6 ? 8 : 4);
  if (isV6) view.setUint32(24, scope, true);
  return bytes;
}

/**
 * Takes a port: a socket bound to it (TCP and SCTP also listening, because a port that nobody listens on can be bound twice).
 * An IPv6 socket takes IPv6 only. Non-blocking, closed on exec.
 * @throws {SysError} EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EPROTONOSUPPORT
 */
export function bindInet(binding: InetBinding, backlog = 128): Fd {
  const isV6 = binding.address.length === 16;
  const isStream = binding.protocol !== "udp";
  const type = (isStream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK;
  const fd = new Fd(check(libc.symbols.socket(isV6 ? AF_INET6 : AF_INET, type, IPPROTO[binding.protocol]), "socket", binding.protocol));
  const one = new Int32Array([1]);
  // only for streams: datagram sockets that both have it would share the port
  if (isStream) libc.symbols.setsockopt(fd.fd, SOL_SOCKET, SO_REUSEADDR, one, 4);
  if (isV6) libc.symbols.setsockopt(fd.fd, IPPROTO_IPV6, IPV6_V6ONLY, one, 4);
  const address = socketAddress(binding.address, binding.port);
  if (libc.symbols.bind(fd.fd, address, address.length) < 0) {
    const code = errno();
    fd.close();
    throw new SysError("bind", code, String(binding.port));
  }
  if (isStream && libc.symbols.listen(fd.fd, backlog) < 0) {
    const code = errno();
    fd.close();
    throw new SysError("listen", code, String(binding.port));
  }
  return fd;
}

/** Whether a socket's address is of IPv4 or IPv6, see getsockname(2). @throws {SysError} EBADF, ENOTSOCK */
export function isInetSocket(fd: number): boolean {
  const address = new Uint8Array(128);
  const length = new Uint32Array([address.length]);
  check(libc.symbols.getsockname(fd, address, length), "getsockname", String(fd));
  const family = new DataView(address.buffer).getUint16(0, true);
  return family === AF_INET || family === AF_INET6;
}

/** Who sent a datagram, as `receiveFrom` fills it in and `sendTo` takes it. */
export interface SocketAddress {
  readonly bytes: Uint8Array;
  readonly length: Uint32Array;
}

/** Room for an address of any family. */
export function emptySocketAddress(): SocketAddress {
  return { bytes: new Uint8Array(128), length: new Uint32Array(1) };
}

/** A copy of an address that the next `receiveFrom` leaves alone. */
export function copySocketAddress({ bytes, length }: SocketAddress): SocketAddress {
  return { bytes: bytes.slice(0, length[0]), length: length.slice() };
}

/** Takes one datagram and its sender: its length, -1 when none waits. @throws {SysError} */
export function receiveFrom(fd: number, buffer: Uint8Array, sender: SocketAddress): number {
  // without a closure, as below: name servers do this for every query
  for (;;) {
    sender.length[0] = sender.bytes.length;
    const length = Number(libc.symbols.recvfrom(fd, buffer, buffer.length, 0, sender.bytes, sender.length));
    if (length >= 0) return length;
    if (!wasInterrupted("recvfrom", fd)) return -1;
  }
}

/** Sends one datagram; -1 when the socket's buffer is full. @throws {SysError} EPERM when a packet filter drops it */
export function sendTo(fd: number, data: Uint8Array, receiver: SocketAddress): number {
  const length = receiver.length[0] ?? 0;
  for (;;) {
    const sent = Number(libc.symbols.sendto(fd, data, data.length, MSG_NOSIGNAL, receiver.bytes, length));
    if (sent >= 0) return sent;
    if (!wasInterrupted("sendto", fd)) return -1;
  }
}

/** Sends on a stream, without a signal when it is closed: the number of bytes taken, -1 when none. @throws {SysError} EPIPE, ECONNRESET */
export function sendStream(fd: number, data: Uint8Array): number {
  return transfer(() => libc.symbols.send(fd, data, data.length, MSG_NOSIGNAL), "send", fd);
}

/** The next connection of a listening socket, non-blocking; undefined when none waits. @throws {SysError} EMFILE, ECONNABORTED */
export function acceptInet(fd: number): Fd | undefined {
  const accepted = transfer(() => libc.symbols.accept4(fd, null, null, SOCK_CLOEXEC | SOCK_NONBLOCK), "accept4", fd);
  return accepted < 0 ? undefined : new Fd(accepted);
}

/** A non-blocking TCP socket that begins to connect; it becomes writable when it has, or has failed. @throws {SysError} ENETUNREACH, … */
export function connectTcp(address: Uint8Array, port: number, scope = 0): Fd {
  const family = address.length === 16 ? AF_INET6 : AF_INET;
  using socket = new Fd(check(libc.symbols.socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO.tcp), "socket", "tcp"));
  const peer = socketAddress(address, port, scope);
  if (libc.symbols.connect(socket.fd, peer, peer.length) < 0) {
    const code = errno();
    if (code !== EINPROGRESS) throw new SysError("connect", code, String(port));
  }
  return new Fd(socket.release());
}

/** The errno that waits at a socket, which this takes away; 0: none. See SO_ERROR in socket(7). @throws {SysError} */
export function takeSocketError(fd: number): number {
  const code = new Int32Array(1);
  check(libc.symbols.getsockopt(fd, SOL_SOCKET, SO_ERROR, code, new Uint32Array([4])), "getsockopt", fd);
  return code[0] ?? 0;
}
