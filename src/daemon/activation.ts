/** Sockets that systemd hands over, see sd_listen_fds(3). */

/** SD_LISTEN_FDS_START */
const FIRST_FD = 3;

/** The descriptors of the sockets that this process was given. */
export function handedOverSockets(): readonly number[] {
  const count = process.env["LISTEN_PID"] === String(process.pid) ? Number(process.env["LISTEN_FDS"] ?? 0) : 0;
  return Array.from({ length: count }, (_, index) => FIRST_FD + index);
}

/** Takes them: children get to know neither of them nor of the variables. */
export function takeHandedOverSockets(setCloexec: (fd: number) => void): readonly number[] {
  const sockets = handedOverSockets();
  for (const fd of sockets) setCloexec(fd);
  for (const name of ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"]) delete process.env[name];
  return sockets;
}
