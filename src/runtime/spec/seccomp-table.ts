/**
 * Docker's default seccomp profile as a table: which system calls a container may make, and what unlocks the others.
 * Everything that is not listed fails with EPERM. The facts are those of the default profile that Docker Engine 28 and later ship
 * (https://github.com/moby/profiles, seccomp/default.json, which also refuses AF_ALG and AF_VSOCK sockets).
 */

/** A condition on one argument of a call. */
export interface ArgRule {
  readonly index: number;
  readonly op: "SCMP_CMP_LT" | "SCMP_CMP_EQ" | "SCMP_CMP_GT" | "SCMP_CMP_MASKED_EQ";
  readonly value: number;
  readonly valueTwo?: number;
}

/** A rule that holds only where its conditions do. */
export interface ConditionalRule {
  /** Space-separated names. */
  readonly calls: string;
  readonly arg?: ArgRule;
  /** Holds when the container has this capability in its bounding set. */
  readonly needsCap?: string;
  /** Holds when it has not. */
  readonly withoutCap?: string;
  /** Only on these architectures. */
  readonly arches?: readonly string[];
  /** Only from this kernel version on. */
  readonly minKernel?: readonly [number, number];
  /** Fails with this errno instead of being allowed. */
  readonly errno?: number;
}

/** Allowed for every container. */
export const ALWAYS_ALLOWED: string = `
  accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown chown32 clock_adjtime clock_adjtime64
  clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 close close_range connect
  copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait
  epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark
  fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr
  fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait
  futex_waitv futex_wake futimesat getcpu getcwd getdents getdents64 getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups
  getgroups32 getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid getresgid32 getresuid getresuid32
  getrlimit get_robust_list getrusage getsid getsockname getsockopt get_thread_area gettid gettimeofday getuid getuid32 getxattr
  getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel ioctl io_destroy io_getevents io_pgetevents
  io_pgetevents_time64 ioprio_get ioprio_set io_setup io_submit ipc kill landlock_add_rule landlock_create_ruleset
  landlock_restrict_self lchown lchown32 lgetxattr link linkat listen listmount listxattr listxattrat llistxattr _llseek lremovexattr
  lseek lsetxattr lstat lstat64 madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock
  mlock2 mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend
  mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep
  newfstatat _newselect open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll
  ppoll_time64 prctl pread64 preadv preadv2 prlimit64 process_mrelease pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read readahead
  readlink readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr removexattrat rename renameat
  renameat2 restart_syscall riscv_hwprobe rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn
  rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_getaffinity sched_getattr sched_getparam
  sched_get_priority_max sched_get_priority_min sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity
  sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop semtimedop_time64 send
  sendfile sendfile64 sendmmsg sendmsg sendto setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer
  setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit set_robust_list
  setsid setsockopt set_thread_area set_tid_address setuid setuid32 setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack
  signalfd signalfd4 sigprocmask sigreturn socketcall socketpair splice stat stat64 statfs statfs64 statmount statx symlink symlinkat
  sync sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64
  timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate
  truncate64 ugetrlimit umask uname unlink unlinkat uretprobe utime utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid
  waitpid write writev
`;

const ENOSYS = 38;
/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET: none of them may be set. */
const NAMESPACE_FLAGS = 0x7e020000;
const X86 = ["amd64", "x32", "x86"] as const;
const ARM = ["arm", "arm64"] as const;

/** AF_ALG (38) and AF_VSOCK (40) are left out: neither is confined by a network namespace's rules. */
const SOCKETS: readonly ConditionalRule[] = [
  { calls: "socket", arg: { index: 0, op: "SCMP_CMP_LT", value: 38 } },
  { calls: "socket", arg: { index: 0, op: "SCMP_CMP_EQ", value: 39 } },
  { calls: "socket", arg: { index: 0, op: "SCMP_CMP_GT", value: 40 } },
];

/** PER_LINUX, PER_LINUX32, UNAME26, both, and the query. */
const PERSONALITIES: readonly ConditionalRule[] = [0, 0x8, 0x20000, 0x20008, 0xffffffff].map((value) => ({
  calls: "personality",
  arg: { index: 0, op: "SCMP_CMP_EQ", value },
}));

/** Allowed under a condition. */
export const CONDITIONAL: readonly ConditionalRule[] = [
  { calls: "process_vm_readv process_vm_writev ptrace", minKernel: [4, 8] },
  ...SOCKETS,
  ...PERSONALITIES,
  { calls: "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls", arches: ARM },
  { calls: "arch_prctl", arches: ["amd64", "x32"] },
  { calls: "modify_ldt", arches: X86 },
  { calls: "riscv_flush_icache", arches: ["riscv64"] },
  { calls: "open_by_handle_at", needsCap: "CAP_DAC_READ_SEARCH" },
  {
    calls: `bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr lsm_list_modules lsm_set_self_attr
      mount mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare`,
    needsCap: "CAP_SYS_ADMIN",
  },
  { calls: "clone", arg: { index: 0, op: "SCMP_CMP_MASKED_EQ", value: NAMESPACE_FLAGS, valueTwo: 0 }, withoutCap: "CAP_SYS_ADMIN" },
  // Its flags lie in memory, where no filter sees them: ENOSYS makes C libraries fall back to clone.
  { calls: "clone3", errno: ENOSYS, withoutCap: "CAP_SYS_ADMIN" },
  { calls: "reboot", needsCap: "CAP_SYS_BOOT" },
  { calls: "chroot", needsCap: "CAP_SYS_CHROOT" },
  { calls: "delete_module init_module finit_module", needsCap: "CAP_SYS_MODULE" },
  { calls: "acct", needsCap: "CAP_SYS_PACCT" },
  { calls: "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace", needsCap: "CAP_SYS_PTRACE" },
  { calls: "iopl ioperm", needsCap: "CAP_SYS_RAWIO" },
  { calls: "settimeofday stime clock_settime clock_settime64", needsCap: "CAP_SYS_TIME" },
  { calls: "vhangup", needsCap: "CAP_SYS_TTY_CONFIG" },
  { calls: "get_mempolicy mbind set_mempolicy set_mempolicy_home_node", needsCap: "CAP_SYS_NICE" },
  { calls: "syslog", needsCap: "CAP_SYSLOG" },
  { calls: "bpf", needsCap: "CAP_BPF" },
  { calls: "perf_event_open", needsCap: "CAP_PERFMON" },
];
