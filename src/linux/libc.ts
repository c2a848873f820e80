import { dlopen, FFIType, read } from "bun:ffi";

const { i32: int, u32: uint, u64, ptr: pointer, i64_fast: long, u64_fast: size, void: nothing } = FFIType;

// off_t, size_t and ssize_t fit a double here, so the *_fast forms spare the BigInt; a typed array is passed as itself, never as a kept address.
const SYMBOLS = {
  __errno_location: { args: [], returns: pointer },
  close: { args: [int], returns: int },
  read: { args: [int, pointer, size], returns: long },
  write: { args: [int, pointer, size], returns: long },
  pread64: { args: [int, pointer, size, long], returns: long },
  pwrite64: { args: [int, pointer, size, long], returns: long },
  lseek64: { args: [int, long, int], returns: long },
  dup3: { args: [int, int, int], returns: int },
  // fcntl, ioctl, open and prctl are variadic; on x86-64 and arm64 Linux integers travel in the same registers either way
  fcntl: { args: [int, int, long], returns: int },
  ioctl: { args: [int, size, pointer], returns: int },
  prctl: { args: [int, size, size, size, size], returns: int },
  mount: { args: [pointer, pointer, pointer, size, pointer], returns: int },
  umount2: { args: [pointer, int], returns: int },
  openat64: { args: [int, pointer, int, uint], returns: int },
  mkdirat: { args: [int, pointer, uint], returns: int },
  mknodat: { args: [int, pointer, uint, size], returns: int },
  symlinkat: { args: [pointer, int, pointer], returns: int },
  linkat: { args: [int, pointer, int, pointer, int], returns: int },
  unlinkat: { args: [int, pointer, int], returns: int },
  renameat2: { args: [int, pointer, int, pointer, uint], returns: int },
  fchownat: { args: [int, pointer, uint, uint, int], returns: int },
  fchmodat: { args: [int, pointer, uint, int], returns: int },
  utimensat: { args: [int, pointer, pointer, int], returns: int },
  futimens: { args: [int, pointer], returns: int },
  readlinkat: { args: [int, pointer, pointer, size], returns: long },
  statx: { args: [int, pointer, int, uint, pointer], returns: int },
  getdents64: { args: [int, pointer, size], returns: long },
  fchmod: { args: [int, uint], returns: int },
  fchown: { args: [int, uint, uint], returns: int },
  ftruncate64: { args: [int, long], returns: int },
  fallocate64: { args: [int, int, long, long], returns: int },
  statfs64: { args: [pointer, pointer], returns: int },
  fstatfs64: { args: [int, pointer], returns: int },
  syncfs: { args: [int], returns: int },
  flock: { args: [int, int], returns: int },
  copy_file_range: { args: [int, pointer, int, pointer, size, uint], returns: long },
  lsetxattr: { args: [pointer, pointer, pointer, size, int], returns: int },
  lgetxattr: { args: [pointer, pointer, pointer, size], returns: long },
  llistxattr: { args: [pointer, pointer, size], returns: long },
  lremovexattr: { args: [pointer, pointer], returns: int },
  // the following variants follow a last symbolic link, which /proc/self/fd/N is
  setxattr: { args: [pointer, pointer, pointer, size, int], returns: int },
  getxattr: { args: [pointer, pointer, pointer, size], returns: long },
  listxattr: { args: [pointer, pointer, size], returns: long },
  flistxattr: { args: [int, pointer, size], returns: long },
  removexattr: { args: [pointer, pointer], returns: int },
  setns: { args: [int, int], returns: int },
  unshare: { args: [int], returns: int },
  kill: { args: [int, int], returns: int },
  execve: { args: [pointer, pointer, pointer], returns: int },
  waitid: { args: [int, uint, pointer, int], returns: int },
  mkfifo: { args: [pointer, uint], returns: int },
  splice: { args: [int, pointer, int, pointer, size, uint], returns: long },
  tee: { args: [int, int, size, uint], returns: long },
  isatty: { args: [int], returns: int },
  tcgetattr: { args: [int, pointer], returns: int },
  tcsetattr: { args: [int, int, pointer], returns: int },
  cfmakeraw: { args: [pointer], returns: nothing },
  eventfd: { args: [uint, int], returns: int },
  memfd_create: { args: [pointer, uint], returns: int },
  inotify_init1: { args: [int], returns: int },
  inotify_add_watch: { args: [int, pointer, uint], returns: int },
  epoll_create1: { args: [int], returns: int },
  epoll_ctl: { args: [int, int, int, pointer], returns: int },
  epoll_wait: { args: [int, pointer, int, int], returns: int },
  prlimit64: { args: [int, int, pointer, pointer], returns: int },
  madvise: { args: [u64, size, int], returns: int },
  umask: { args: [uint], returns: uint },
  uname: { args: [pointer], returns: int },
  socket: { args: [int, int, int], returns: int },
  bind: { args: [int, pointer, uint], returns: int },
  connect: { args: [int, pointer, uint], returns: int },
  listen: { args: [int, int], returns: int },
  send: { args: [int, pointer, size, int], returns: long },
  recv: { args: [int, pointer, size, int], returns: long },
  recvfrom: { args: [int, pointer, size, int, pointer, pointer], returns: long },
  recvmsg: { args: [int, pointer, int], returns: long },
  sendmsg: { args: [int, pointer, int], returns: long },
  accept4: { args: [int, pointer, pointer, int], returns: int },
  sendto: { args: [int, pointer, size, int, pointer, uint], returns: long },
  setsockopt: { args: [int, int, int, pointer, uint], returns: int },
  getsockopt: { args: [int, int, int, pointer, pointer], returns: int },
  getsockname: { args: [int, pointer, pointer], returns: int },
} as const;

// syscall(2) has one name and many shapes; each shape is a binding of its own.
const SYSCALL_SHAPES = {
  /** syscall(number, five integers) */
  ints: { syscall: { args: [long, long, long, long, long, long], returns: long } },
  /** syscall(number, integer, pointer, pointer, integer) : openat2 */
  ippi: { syscall: { args: [long, long, pointer, pointer, long], returns: long } },
  /** syscall(number, pointer, integer) : fsopen */
  pi: { syscall: { args: [long, pointer, long], returns: long } },
  /** syscall(number, integer, integer, pointer, pointer, integer) : fsconfig */
  iippi: { syscall: { args: [long, long, long, pointer, pointer, long], returns: long } },
  /** syscall(number, integer, pointer, integer, pointer, integer) : move_mount, mount_setattr */
  ipipi: { syscall: { args: [long, long, pointer, long, pointer, long], returns: long } },
  /** syscall(number, integer, pointer, integer) : open_tree */
  ipi: { syscall: { args: [long, long, pointer, long], returns: long } },
  /** syscall(number, integer, pointer, integer, integer) : sched_getattr */
  ipii: { syscall: { args: [long, long, pointer, long, long], returns: long } },
  /** syscall(number, integer, pointer) : io_setup */
  ip: { syscall: { args: [long, long, pointer], returns: long } },
  /** syscall(number, integer, integer, pointer) : io_submit */
  iip: { syscall: { args: [long, long, long, pointer], returns: long } },
  /** syscall(number, integer, integer, integer, pointer, pointer) : io_getevents */
  iiipp: { syscall: { args: [long, long, long, long, pointer, pointer], returns: long } },
} as const;

function loadSymbols() {
  return dlopen("libc.so.6", SYMBOLS).symbols;
}

function loadSyscalls() {
  return {
    ints: dlopen("libc.so.6", SYSCALL_SHAPES.ints).symbols.syscall,
    ippi: dlopen("libc.so.6", SYSCALL_SHAPES.ippi).symbols.syscall,
    pi: dlopen("libc.so.6", SYSCALL_SHAPES.pi).symbols.syscall,
    iippi: dlopen("libc.so.6", SYSCALL_SHAPES.iippi).symbols.syscall,
    ipi: dlopen("libc.so.6", SYSCALL_SHAPES.ipi).symbols.syscall,
    ipipi: dlopen("libc.so.6", SYSCALL_SHAPES.ipipi).symbols.syscall,
    ipii: dlopen("libc.so.6", SYSCALL_SHAPES.ipii).symbols.syscall,
    ip: dlopen("libc.so.6", SYSCALL_SHAPES.ip).symbols.syscall,
    iip: dlopen("libc.so.6", SYSCALL_SHAPES.iip).symbols.syscall,
    iiipp: dlopen("libc.so.6", SYSCALL_SHAPES.iiipp).symbols.syscall,
  };
}

let symbols: ReturnType<typeof loadSymbols> | undefined;
let syscalls: ReturnType<typeof loadSyscalls> | undefined;
let errnoLocation: ReturnType<ReturnType<typeof loadSymbols>["__errno_location"]> = null;

function load(): ReturnType<typeof loadSymbols> {
  symbols = loadSymbols();
  errnoLocation = symbols.__errno_location();
  return symbols;
}

/** The C library, loaded at the first use (0.7 ms). Raw: every caller checks the result with `check`. */
export const libc = {
  get symbols(): ReturnType<typeof loadSymbols> {
    return symbols ?? load();
  },
  /** syscall(2) for what the C library of older distributions has no wrapper for, one binding per argument shape. */
  get syscall(): ReturnType<typeof loadSyscalls> {
    if (symbols === undefined) load();
    if (syscalls === undefined) syscalls = loadSyscalls();
    return syscalls;
  },
};

/** The calling thread's errno. Meaningful only as the first act after a failed call: any `node:fs` call overwrites it. */
export function errno(): number {
  if (errnoLocation === null) load();
  return errnoLocation === null ? 0 : read.i32(errnoLocation, 0);
}

const isArm64 = process.arch === "arm64";

/** System call numbers that differ by architecture or have no libc wrapper. @see asm/unistd.h */
export const SYS = {
  openat2: 437,
  open_tree: 428,
  move_mount: 429,
  fsopen: 430,
  fsconfig: 431,
  fsmount: 432,
  pidfd_send_signal: 424,
  pidfd_open: 434,
  pidfd_getfd: 438,
  mount_setattr: 442,
  quotactl_fd: 443,
  setfsuid: isArm64 ? 151 : 122,
  setfsgid: isArm64 ? 152 : 123,
  ioctl: isArm64 ? 29 : 16,
  sched_setattr: isArm64 ? 274 : 314,
  sched_getattr: isArm64 ? 275 : 315,
  io_setup: isArm64 ? 0 : 206,
  io_destroy: isArm64 ? 1 : 207,
  io_getevents: isArm64 ? 4 : 208,
  io_submit: isArm64 ? 2 : 209,
} as const;
