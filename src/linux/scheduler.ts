import { check } from "./errno.ts";
import { libc, SYS } from "./libc.ts";

// struct sched_attr, linux/sched/types.h: u32 size, u32 policy, u64 flags, i32 nice, u32 priority, u64 runtime, u64 deadline, u64 period, …
const SIZE = 56;
const POLICY_AT = 4;
const FLAGS_AT = 8;
const RUNTIME_AT = 24;
const SCHED_OTHER = 0;
const SCHED_FLAG_RESET_ON_FORK = 1n;

function attributes(tid: number): DataView<ArrayBuffer> {
  const bytes = new Uint8Array(SIZE);
  check(libc.syscall.ipii(SYS.sched_getattr, tid, bytes, SIZE, 0), "sched_getattr", tid);
  return new DataView(bytes.buffer);
}

/** The length of a thread's turns (0: the calling thread's), in nanoseconds; 0 where the kernel has one length for all (before Linux 6.12). @throws {SysError} ESRCH */
export function timeSlice(tid = 0): number {
  return Number(attributes(tid).getBigUint64(RUNTIME_AT, true));
}

/**
 * Gives the calling thread turns of that length, 0.1 to 100 ms. The shorter, the sooner it gets the processor when it wakes up; its share of
 * time stays the same, and so do its policy and nice value. Threads and processes that it starts from now on have turns of the usual length.
 * A thread of another policy than SCHED_OTHER, and kernels before Linux 6.12, go on as before. See sched_setattr(2).
 * @throws {SysError} EPERM
 */
export function setTimeSlice(nanoseconds: number): void {
  const own = attributes(0);
  if (own.getUint32(POLICY_AT, true) !== SCHED_OTHER) return;
  own.setUint32(0, SIZE, true);
  own.setBigUint64(FLAGS_AT, SCHED_FLAG_RESET_ON_FORK, true);
  own.setBigUint64(RUNTIME_AT, BigInt(nanoseconds), true);
  check(libc.syscall.ipi(SYS.sched_setattr, 0, new Uint8Array(own.buffer), 0), "sched_setattr");
}
