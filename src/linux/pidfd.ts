import { readFileSync } from "node:fs";
import { check, errno, isErrno, SysError } from "./errno.ts";
import { Fd } from "./fd.ts";
import { libc, SYS } from "./libc.ts";

const PIDFD_INFO_EXIT = 8n;
const PIDFD_INFO_SIZE = 64;
// _IOWR(0xff, 11, struct pidfd_info) with the first version of the struct, linux/pidfd.h
const PIDFD_GET_INFO = 0xc000ff0b + PIDFD_INFO_SIZE * 0x10000;
const EXIT_CODE_AT = 60;
const ESRCH = 3;
const EXE_SIGNAL_BASE = 128;

/** Opens a process, close-on-exec; it becomes readable (EPOLLIN) when the process ends. @throws {SysError} ESRCH, ENOSYS before Linux 5.3 */
export function pidfdOpen(pid: number): Fd {
  return new Fd(check(libc.syscall.ints(SYS.pidfd_open, pid, 0, 0, 0, 0), "pidfd_open", pid));
}

/** Sends a signal to exactly the process that was opened, never to another that got its pid. @throws {SysError} ESRCH when it has ended */
export function pidfdSendSignal(fd: number, signo: number): void {
  check(libc.syscall.ints(SYS.pidfd_send_signal, fd, signo, 0, 0, 0), "pidfd_send_signal", fd);
}

/** A copy of descriptor `targetFd` of the opened process. @throws {SysError} EBADF, EPERM, ENOSYS before Linux 5.6 */
export function pidfdGetFd(pidfd: number, targetFd: number): Fd {
  return new Fd(check(libc.syscall.ints(SYS.pidfd_getfd, pidfd, targetFd, 0, 0, 0), "pidfd_getfd", pidfd));
}

/** The exit code of a wait status as a shell and docker count it: 0 to 255, or 128 and the signal's number. */
export function exitCodeOf(waitStatus: number): number {
  const signal = waitStatus & 0x7f;
  return signal === 0 ? (waitStatus >> 8) & 0xff : EXE_SIGNAL_BASE + signal;
}

/**
 * The exit code (0 to 255, 128 + signal) of an opened process that has ended and been reaped by its parent, whoever that was.
 * Undefined while it runs or is a zombie, and on kernels before 6.15, which do not keep it.
 * @throws {SysError} EBADF
 */
export function pidfdExitStatus(fd: number): number | undefined {
  const info = new DataView(new ArrayBuffer(PIDFD_INFO_SIZE));
  info.setBigUint64(0, PIDFD_INFO_EXIT, true);
  if (libc.symbols.ioctl(fd, PIDFD_GET_INFO, new Uint8Array(info.buffer)) < 0) {
    const code = errno();
    if (code === 9) throw new SysError("ioctl PIDFD_GET_INFO", code, fd);
    return undefined;
  }
  if ((info.getBigUint64(0, true) & PIDFD_INFO_EXIT) === 0n) return undefined;
  return exitCodeOf(info.getInt32(EXIT_CODE_AT, true));
}

/**
 * The exit code (0 to 255, 128 + signal) of a process that has ended and that nobody has reaped yet; undefined while it runs, and when
 * it is gone. On every kernel, and whatever its parent is doing. @see proc_pid_stat(5), fields 3 and 52
 */
export function zombieExitCode(pid: number): number | undefined {
  const fields = procStat(pid);
  return fields?.[0] === "Z" ? exitCodeOf(Number(fields[49])) : undefined;
}

/** Sends a signal to a pid, or to the process group -pid; 0 only asks. @throws {SysError} ESRCH, EPERM */
export function kill(pid: number, signo: number): void {
  check(libc.symbols.kill(pid, signo), "kill", pid);
}

/** Whether a process (zombies included) has this pid. */
export function isAlive(pid: number): boolean {
  return libc.symbols.kill(pid, 0) === 0 || errno() !== ESRCH;
}

/**
 * When a process started, in clock ticks since boot: with the pid it names one process for the life of the machine.
 * Undefined when there is none. @see proc_pid_stat(5), field 22
 */
export function procStartTime(pid: number): number | undefined {
  const fields = procStat(pid);
  return fields === undefined ? undefined : Number(fields[19]);
}

/** The fields of a process from the third on; undefined when there is none. @see proc_pid_stat(5) */
function procStat(pid: number): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // the command's name may hold spaces and brackets: count from its last bracket, which ends field 2
    return stat
      .slice(stat.lastIndexOf(")") + 2)
      .trimEnd()
      .split(" ");
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH")) return undefined;
    throw error;
  }
}
