import { DhowError, parseDuration } from "../lib/mod.ts";
import type { OciHealthcheck, OciImageRunConfig } from "../spec/oci/mod.ts";
import { expandWord, type Lookup, splitWords } from "./shell-words.ts";

/** The run config while instructions are applied; `hasCmd` because ENTRYPOINT takes an inherited CMD away. */
interface State {
  readonly config: OciImageRunConfig;
  readonly hasCmd: boolean;
}

type Instruction = (state: State, args: string, name: string) => State;

const ALLOWED = new Set([
  "cmd",
  "entrypoint",
  "healthcheck",
  "env",
  "expose",
  "label",
  "onbuild",
  "stopsignal",
  "user",
  "volume",
  "workdir",
]);
const SHELL = ["/bin/sh", "-c"];
const MIN_HEALTH_NS = 1_000_000n;
const SIGNALS = new Set(
  "ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ".split(
    " ",
  ),
);

function invalid(message: string): DhowError {
  return new DhowError("invalid", message);
}

function lookupIn(config: OciImageRunConfig): Lookup {
  return (name) => {
    const row = (config.Env ?? []).findLast((line) => line.startsWith(`${name}=`));
    return row?.slice(name.length + 1);
  };
}

/** The exec form's strings, or null when `args` is not a JSON list of strings: then it is the shell form. */
function parseJsonForm(args: string): string[] | null {
  if (!args.startsWith("[")) return null;
  try {
    const value: unknown = JSON.parse(args);
    return Array.isArray(value) && value.every((item) => typeof item === "string") ? value : null;
  } catch {
    return null;
  }
}

function commandLine(config: OciImageRunConfig, args: string): string[] {
  return parseJsonForm(args) ?? [...(config.Shell ?? SHELL), args];
}

function oneWord(state: State, args: string, name: string): string {
  if (args === "") throw invalid(`${name} requires exactly one argument`);
  return expandWord(args, lookupIn(state.config));
}

/** `a=1 b="2 3"`, or the old `a 1 2` form. */
function pairs(state: State, args: string, name: string): [string, string][] {
  if (args === "") throw invalid(`${name} requires at least one argument`);
  const lookup = lookupIn(state.config);
  const words = splitWords(args);
  if (!(words[0] ?? "").includes("=")) {
    const [, key = "", rest = ""] = /^(\S+)\s*(.*)$/s.exec(args) ?? [];
    if (rest === "") throw invalid(`${name} must have two arguments`);
    return [[expandWord(key, lookup), expandWord(rest, lookup)]];
  }
  return words.map((word) => {
    const at = word.indexOf("=");
    if (at < 0) throw invalid(`Syntax error - can't find = in ${JSON.stringify(word)}. Must be of the form: name=value`);
    const key = expandWord(word.slice(0, at), lookup);
    if (key === "") throw invalid(`${name} names can not be blank`);
    return [key, expandWord(word.slice(at + 1), lookup)];
  });
}

function merge(state: State, change: OciImageRunConfig): State {
  return { ...state, config: { ...state.config, ...change } };
}

/** Ports of an EXPOSE word: `80`, `53/udp`, `8000-8002/tcp`. */
function ports(word: string): string[] {
  const [range = "", protocol = "tcp"] = word.split("/");
  const proto = protocol.toLowerCase() || "tcp";
  if (proto !== "tcp" && proto !== "udp" && proto !== "sctp") throw invalid(`invalid proto: ${proto}`);
  const match = /^(\d+)(?:-(\d+))?$/.exec(range);
  const first = Number(match?.[1]);
  const last = Number(match?.[2] ?? match?.[1]);
  if (!match || first > 65535 || last > 65535 || last < first) throw invalid(`invalid containerPort: ${range}`);
  return Array.from({ length: last - first + 1 }, (_, i) => `${first + i}/${proto}`);
}

function cleanPath(path: string): string {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return `/${parts.join("/")}`;
}

/** Whether `signal` is one of Linux, by name or number. */
function isSignal(signal: string): boolean {
  if (/^\d+$/.test(signal)) return Number(signal) > 0 && Number(signal) <= 64;
  const name = signal.toUpperCase().replace(/^SIG/, "");
  return SIGNALS.has(name) || /^RTMIN(\+([1-9]|1[0-5]))?$/.test(name) || /^RTMAX(-([1-9]|1[0-4]))?$/.test(name);
}

function healthDuration(flag: string, text: string): number {
  const ns = parseDuration(text);
  if (ns === undefined) throw invalid(`time: invalid duration ${JSON.stringify(text)}`);
  if (ns !== 0n && ns < MIN_HEALTH_NS) throw invalid(`Interval ${JSON.stringify(flag)} cannot be less than 1ms`);
  return Number(ns);
}

function healthFlag(flag: string, value: string): OciHealthcheck {
  switch (flag) {
    case "interval":
      return { Interval: healthDuration(flag, value) };
    case "timeout":
      return { Timeout: healthDuration(flag, value) };
    case "start-period":
      return { StartPeriod: healthDuration(flag, value) };
    case "start-interval":
      return { StartInterval: healthDuration(flag, value) };
    case "retries": {
      const retries = Number(value);
      if (!Number.isInteger(retries)) throw invalid(`strconv.ParseInt: parsing ${JSON.stringify(value)}: invalid syntax`);
      if (retries < 0) throw invalid(`--retries cannot be negative (${retries})`);
      return { Retries: retries };
    }
    default:
      throw invalid(`unknown flag: --${flag}`);
  }
}

function healthcheck(state: State, args: string): State {
  let health: OciHealthcheck = {};
  let rest = args;
  for (let flag = /^--([a-z-]+)(?:=(\S*))?\s*/.exec(rest); flag; flag = /^--([a-z-]+)(?:=(\S*))?\s*/.exec(rest)) {
    if (flag[2] === undefined) throw invalid(`missing a value on flag: ${flag[1]}`);
    health = { ...health, ...healthFlag(flag[1] ?? "", flag[2]) };
    rest = rest.slice(flag[0].length);
  }
  const [, type = "", command = ""] = /^(\S*)\s*(.*)$/s.exec(rest) ?? [];
  if (type === "") throw invalid("HEALTHCHECK requires at least one argument");
  if (type.toUpperCase() === "NONE") {
    if (command !== "") throw invalid("HEALTHCHECK NONE takes no arguments");
    return merge(state, { Healthcheck: { Test: ["NONE"] } });
  }
  if (type.toUpperCase() !== "CMD") throw invalid(`Unknown type ${JSON.stringify(type.toUpperCase())} in HEALTHCHECK (try CMD)`);
  const json = parseJsonForm(command);
  if (command === "" || json?.length === 0) throw invalid("Missing command after HEALTHCHECK CMD");
  return merge(state, { Healthcheck: { Test: json ? ["CMD", ...json] : ["CMD-SHELL", command], ...health } });
}

const INSTRUCTIONS: Readonly<Record<string, Instruction>> = {
  cmd: (state, args) => ({ ...merge(state, { Cmd: commandLine(state.config, args) }), hasCmd: true }),
  entrypoint: (state, args) => {
    const json = parseJsonForm(args);
    const entrypoint = json?.length === 0 ? null : commandLine(state.config, args);
    return merge(state, { Entrypoint: entrypoint, ...(state.hasCmd ? {} : { Cmd: null }) });
  },
  env: (state, args, name) => {
    let env = [...(state.config.Env ?? [])];
    for (const [key, value] of pairs(state, args, name)) {
      const line = `${key}=${value}`;
      if (env.some((row) => row.startsWith(`${key}=`))) env = env.map((row) => (row.startsWith(`${key}=`) ? line : row));
      else env.push(line);
    }
    return merge(state, { Env: env });
  },
  label: (state, args, name) => merge(state, { Labels: { ...state.config.Labels, ...Object.fromEntries(pairs(state, args, name)) } }),
  expose: (state, args, name) => {
    if (args === "") throw invalid(`${name} requires at least one argument`);
    const lookup = lookupIn(state.config);
    const words = splitWords(args).flatMap((word) => expandWord(word, lookup).split(/\s+/).filter(Boolean));
    return merge(state, {
      ExposedPorts: { ...state.config.ExposedPorts, ...Object.fromEntries(words.flatMap(ports).map((port) => [port, {}])) },
    });
  },
  volume: (state, args, name) => {
    if (args === "") throw invalid(`${name} requires at least one argument`);
    const lookup = lookupIn(state.config);
    const paths = (parseJsonForm(args) ?? splitWords(args)).map((word) => expandWord(word, lookup).trim());
    if (paths.length === 0) throw invalid(`${name} requires at least one argument`);
    if (paths.some((path) => path === "")) throw invalid("VOLUME specified can not be an empty string");
    return merge(state, { Volumes: { ...state.config.Volumes, ...Object.fromEntries(paths.map((path) => [path, {}])) } });
  },
  user: (state, args, name) => merge(state, { User: oneWord(state, args, name) }),
  workdir: (state, args, name) => {
    const path = oneWord(state, args, name);
    return merge(state, { WorkingDir: cleanPath(path.startsWith("/") ? path : `${state.config.WorkingDir ?? ""}/${path}`) });
  },
  stopsignal: (state, args, name) => {
    const signal = oneWord(state, args, name);
    if (!isSignal(signal)) throw invalid(`invalid signal: ${signal}`);
    return merge(state, { StopSignal: signal });
  },
  onbuild: (state, args, name) => {
    if (args === "") throw invalid(`${name} requires at least one argument`);
    const trigger = (args.split(/\s/)[0] ?? "").toUpperCase();
    if (trigger === "ONBUILD") throw invalid("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
    if (trigger === "MAINTAINER" || trigger === "FROM") throw invalid(`${trigger} isn't allowed as an ONBUILD trigger`);
    return merge(state, { OnBuild: [...(state.config.OnBuild ?? []), args] });
  },
  healthcheck,
};

/** Logical lines with the number of their first: comments and empty lines are dropped, a backslash at the end goes on. */
function logicalLines(text: string): { readonly line: string; readonly number: number }[] {
  const lines: { line: string; number: number }[] = [];
  let open: { line: string; number: number } | null = null;
  text.split("\n").forEach((raw, index) => {
    if (/^\s*(#|$)/.test(raw)) return;
    const isContinued = /\\[ \t]*$/.test(raw);
    const part = isContinued ? raw.replace(/\\[ \t]*$/, "") : raw;
    open = open ? { ...open, line: open.line + part } : { line: part, number: index + 1 };
    if (isContinued) return;
    lines.push(open);
    open = null;
  });
  if (open) lines.push(open);
  return lines;
}

/**
 * Applies Dockerfile instructions to an image's run config, as `docker import --change` and `docker commit --change` do.
 * Allowed: CMD ENTRYPOINT ENV EXPOSE HEALTHCHECK LABEL ONBUILD STOPSIGNAL USER VOLUME WORKDIR.
 * @throws invalid with docker's words
 */
export function applyChanges(base: OciImageRunConfig, changes: readonly string[]): OciImageRunConfig {
  const steps = logicalLines(changes.join("\n")).map(({ line, number }) => {
    const [, name = "", args = ""] = /^\s*(\S+)\s*(.*?)\s*$/s.exec(line) ?? [];
    return { name, args, number };
  });
  for (const { name } of steps) {
    if (!ALLOWED.has(name.toLowerCase())) throw invalid(`${name} is not a valid change command`);
  }
  let state: State = { config: base, hasCmd: false };
  for (const { name, args, number } of steps) {
    try {
      state = INSTRUCTIONS[name.toLowerCase()]?.(state, args, name.toUpperCase()) ?? state;
    } catch (cause) {
      if (!(cause instanceof DhowError)) throw cause;
      throw new DhowError("invalid", `dockerfile parse error on line ${number}: ${cause.message}`, { cause });
    }
  }
  return state.config;
}
