import { DhowError } from "../lib/mod.ts";

const RTMIN = 34;
const RTMAX = 64;

/** Signal names without SIG, with x86-64's and arm64's numbers. @see signal(7) */
const STANDARD: Readonly<Record<string, number>> = {
  HUP: 1,
  INT: 2,
  QUIT: 3,
  ILL: 4,
  TRAP: 5,
  ABRT: 6,
  BUS: 7,
  FPE: 8,
  KILL: 9,
  USR1: 10,
  SEGV: 11,
  USR2: 12,
  PIPE: 13,
  ALRM: 14,
  TERM: 15,
  STKFLT: 16,
  CHLD: 17,
  CONT: 18,
  STOP: 19,
  TSTP: 20,
  TTIN: 21,
  TTOU: 22,
  URG: 23,
  XCPU: 24,
  XFSZ: 25,
  VTALRM: 26,
  PROF: 27,
  WINCH: 28,
  IO: 29,
  PWR: 30,
  SYS: 31,
};

const ALIASES: Readonly<Record<string, number>> = { CLD: 17, IOT: 6, POLL: 29 };

function table(): ReadonlyMap<string, number> {
  const all = new Map<string, number>([...Object.entries(STANDARD), ...Object.entries(ALIASES), ["RTMIN", RTMIN], ["RTMAX", RTMAX]]);
  for (let i = 1; i <= 15; i++) all.set(`RTMIN+${i}`, RTMIN + i);
  for (let i = 1; i <= 14; i++) all.set(`RTMAX-${i}`, RTMAX - i);
  return all;
}

/** Every signal name (without SIG) that docker accepts, with its number on Linux. */
export const SIGNALS: ReadonlyMap<string, number> = table();

const NAMES: ReadonlyMap<number, string> = new Map([...SIGNALS].reverse().map(([name, n]) => [n, name]));

/**
 * The number of a signal as docker accepts it: `KILL`, `sigkill`, `9`, `RTMIN+3`. A number is taken as it is; see `isValidSignal`.
 * @throws invalid `invalid signal: X`, the words of moby/sys signal v0.7
 */
export function parseSignal(text: string): number {
  const number = /^[+-]?\d+$/.test(text) ? Number(text) : SIGNALS.get(text.toUpperCase().replace(/^SIG/, ""));
  if (number === undefined || number === 0) throw new DhowError("invalid", `invalid signal: ${text}`);
  return number;
}

/** Whether a program may get a signal of that number: 1 to 31 and 34 to 64 (the C library keeps 32 and 33 for itself). */
export function isValidSignal(signo: number): boolean {
  return NAMES.has(signo);
}

/** The name of a signal with its SIG, `SIGKILL` for 9; undefined for a number that has none. */
export function signalName(signo: number): string | undefined {
  const name = NAMES.get(signo);
  return name === undefined ? undefined : `SIG${name}`;
}
