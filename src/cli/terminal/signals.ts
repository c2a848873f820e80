import { writeSync } from "node:fs";

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

/** As many of these as docker takes before it gives up on a container that doesn't end of them. */
const TERMINATIONS = 3;

/** Gives signals to `forward` instead of dying of them, but for the third that asks to end; returns what ends that. */
export function proxySignals(forward: (signal: string) => Promise<void>): () => void {
  let terminations = 0;
  const handlers = FORWARDED.map((signal) => {
    const handler = () => {
      forward(signal.slice("SIG".length)).catch(() => {});
      if (signal !== "SIGINT" && signal !== "SIGTERM") return;
      terminations++;
      if (terminations < TERMINATIONS) return;
      writeSync(2, `\ngot ${TERMINATIONS} SIGTERM/SIGINTs, forcefully exiting\n`);
      process.exit(1);
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
