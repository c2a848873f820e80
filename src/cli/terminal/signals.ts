/** The signals that a terminal's user, or a supervisor, sends. Not CHLD, PIPE, URG and WINCH: those are about this process. */
const FORWARDED = [
  "SIGHUP",
  "SIGINT",
  "SIGQUIT",
  "SIGTERM",
  "SIGUSR1",
  "SIGUSR2",
  "SIGALRM",
  "SIGCONT",
  "SIGTSTP",
  "SIGTTIN",
  "SIGTTOU",
  "SIGABRT",
  "SIGIO",
] as const;

/** Gives signals to `forward` instead of dying of them; returns what ends that. */
export function proxySignals(forward: (signal: string) => Promise<void>): () => void {
  const handlers = FORWARDED.map((signal) => {
    const handler = () => {
      forward(signal.slice("SIG".length)).catch(() => {});
    };
    try {
      process.on(signal, handler);
    } catch {
      // A signal that this platform's runtime keeps for itself.
    }
    return { signal, handler };
  });
  return () => {
    for (const { signal, handler } of handlers) process.off(signal, handler);
  };
}
