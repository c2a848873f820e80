import type { Command } from "../command.ts";
import type { Flag } from "../flag-kinds.ts";
import type { FlagTable } from "../flags.ts";
import { COMMANDS, GROUP_ALIASES, GROUPS } from "../registry.ts";

/** What may stand where the cursor is. */
export interface Suggestions {
  /** The words, with a short text each. */
  readonly words: readonly (readonly [string, string])[];
  /** Names of files, too: the shell completes them. */
  readonly hasFiles: boolean;
}

/** Objects of the engine, by their names; nothing when it can't be reached. */
export interface Names {
  containers(isWanted: (state: string, networks: readonly string[]) => boolean): Promise<readonly string[]>;
  images(): Promise<readonly string[]>;
  networks(): Promise<readonly string[]>;
  volumes(): Promise<readonly string[]>;
  contexts(): Promise<readonly string[]>;
  leases(): Promise<readonly string[]>;
  sockets(): Promise<readonly string[]>;
}

export interface CompletionRequest {
  /** After the program's name; the last one is being written, and may be empty. */
  readonly words: readonly string[];
  readonly globals: FlagTable;
  readonly names: Names;
  /** Called as docker: without what docker does not have. */
  readonly isDocker: boolean;
}

const NOTHING: Suggestions = { words: [], hasFiles: false };
const FILES: Suggestions = { words: [], hasFiles: true };

type Flags = Readonly<Record<string, Flag>>;

/** States of the containers that a command can do something with. */
const STATES: Readonly<Record<string, (state: string) => boolean>> = {
  start: (state) => state !== "running" && state !== "paused",
  unpause: (state) => state === "paused",
  ...Object.fromEntries(
    ["attach", "exec", "kill", "pause", "port", "stop", "top"].map((verb) => [
      verb,
      (state: string) => state === "running" || state === "paused",
    ]),
  ),
};

/** What the values of flags name, whatever the command. */
const FLAG_VALUES: Readonly<Record<string, (names: Names) => Promise<readonly string[]>>> = {
  network: async (names) => [...(await names.networks()), "host", "none"],
  "volumes-from": (names) => names.containers(() => true),
  link: (names) => names.containers(() => true),
  context: (names) => names.contexts(),
  socket: (names) => names.sockets(),
  restart: async () => ["no", "always", "on-failure", "unless-stopped"],
  pull: async () => ["always", "missing", "never"],
  "log-driver": async () => ["local", "json-file", "journald", "syslog", "fluentd", "gelf", "none"],
  "log-level": async () => ["debug", "info", "warn", "error", "fatal"],
  as: async () => ["run", "compose", "ts"],
  type: async () => ["container", "image", "network", "volume"],
};
const FILE_FLAGS = new Set(["cidfile", "iidfile", "config", "env-file", "input", "label-file", "output", "tlscacert", "tlscert", "tlskey"]);

/** The words before the cursor without flags and their values; `open` is a flag whose value is being written. */
interface Read {
  readonly args: readonly string[];
  readonly open: string | undefined;
  /** Nothing that begins with a dash is a flag any more. */
  readonly isEnded: boolean;
}

function read(words: readonly string[], flags: Flags, isInterspersed: boolean): Read {
  const args: string[] = [];
  const byLetter = new Map(Object.entries(flags).flatMap(([name, { short }]) => (short === undefined ? [] : [[short, name]])));
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? "";
    if (word === "--") return { args: [...args, ...words.slice(at + 1)], open: undefined, isEnded: true };
    if (!word.startsWith("-") || word === "-") {
      args.push(word);
      if (!isInterspersed) return { args: [...args, ...words.slice(at + 1)], open: undefined, isEnded: true };
      continue;
    }
    if (word.includes("=")) continue;
    const name = word.startsWith("--") ? word.slice(2) : byLetter.get(word.slice(-1));
    const flag = name === undefined ? undefined : flags[name];
    if (flag === undefined || flag.kind.bare !== undefined) continue;
    if (at === words.length - 1) return { args, open: name, isEnded: false };
    at++;
  }
  return { args, open: undefined, isEnded: false };
}

function matching(words: readonly (readonly [string, string])[], current: string): Suggestions {
  const found = words.filter(([word]) => word.startsWith(current)).sort(([a], [b]) => (a < b ? -1 : 1));
  return { words: found, hasFiles: false };
}

const plain = (words: readonly string[]): (readonly [string, string])[] => words.map((word) => [word, ""]);

function flagWords(flags: Flags, isDocker: boolean): (readonly [string, string])[] {
  const shown = Object.entries(flags).filter(([, flag]) => !flag.isHidden && !(isDocker && flag.isOwn) && flag.deprecated === undefined);
  return [
    ["--help", "Print usage"],
    ...shown.map(([name, { help }]): readonly [string, string] => [`--${name}`, help.split("\n", 1)[0] ?? ""]),
  ];
}

async function flagValue(name: string, { names }: CompletionRequest): Promise<Suggestions> {
  if (FILE_FLAGS.has(name)) return FILES;
  return { words: plain((await FLAG_VALUES[name]?.(names)) ?? []), hasFiles: false };
}

/** What the word of a usage stands for: `[OPTIONS] CONTAINER [CONTAINER...]` → one for each argument, the last one again and again. */
function placeholders(use: string): string[] {
  return (use.split("\n", 1)[0] ?? "").split(" ").filter((word) => word !== "[OPTIONS]" && word !== "" && !word.startsWith("--"));
}

async function argument(verb: string, use: string, args: readonly string[], names: Names): Promise<Suggestions> {
  const places = placeholders(use);
  const index = args.length;
  const last = places.at(-1) ?? "";
  const place = places[index] ?? (last.includes("...") ? last : "");
  const words = async (found: Promise<readonly string[]>): Promise<Suggestions> => ({ words: plain(await found), hasFiles: false });
  if (place.includes("PATH")) {
    const containers = await names.containers(() => true);
    return { words: containers.map((name) => [`${name}:`, ""]), hasFiles: true };
  }
  if (place.includes("NAME|ID")) {
    return words(Promise.all([names.containers(() => true), names.images()]).then((lists) => lists.flat()));
  }
  if (place.includes("CONTAINER") && places[0] === "NETWORK") {
    return words(names.containers((_, networks) => networks.includes(args[0] ?? "") === (verb === "disconnect")));
  }
  if (place.includes("CONTAINER")) return words(names.containers(STATES[verb] ?? (() => true)));
  if (place.includes("IMAGE") || place.startsWith("[REPOSITORY")) return words(names.images());
  if (place.includes("NETWORK")) return words(names.networks());
  if (place.includes("VOLUME")) return words(names.volumes());
  if (place.includes("CONTEXT")) return words(names.contexts());
  if (place.includes("LEASE")) return words(names.leases());
  if (place.includes("SOCKET")) return words(names.sockets());
  return place.includes("FILE") || place.includes("file") || place.includes("ARG") || place.includes("COMMAND") ? FILES : NOTHING;
}

interface Found {
  readonly verb: string;
  readonly command: Command;
  readonly used: number;
}

/** The command that the words name; undefined while they name none yet. */
async function commandOf(words: readonly string[]): Promise<Found | undefined> {
  const [first = "", second = ""] = words;
  if (Object.hasOwn(GROUPS, first)) {
    const verb = GROUP_ALIASES[first]?.[second] ?? second;
    const load = GROUPS[first]?.commands[verb];
    return load && { verb, command: await load(), used: 2 };
  }
  const load = Object.hasOwn(COMMANDS, first) ? COMMANDS[first] : undefined;
  return load && { verb: first, command: await load(), used: 1 };
}

async function commandWords(words: readonly string[], isDocker: boolean): Promise<(readonly [string, string])[]> {
  const group = words[0] === undefined ? undefined : GROUPS[words[0]];
  if (words.length > 1 || (words.length === 1 && group === undefined)) return [];
  const loads = Object.entries(group === undefined ? COMMANDS : group.commands);
  const commands = await Promise.all(
    loads.map(async ([name, load]) => {
      const { short, isHidden, isOwn } = await load();
      return isHidden || (isDocker && isOwn) ? [] : [[name, short] as const];
    }),
  );
  const groups = group === undefined ? Object.entries(GROUPS).filter(([, { isOwn }]) => !(isDocker && isOwn)) : [];
  return [...commands.flat(), ...groups.map(([name, { short }]) => [name, short] as const)];
}

/** What may follow the words of a command line. */
export async function complete(request: CompletionRequest): Promise<Suggestions> {
  const { words, isDocker, names } = request;
  const current = words.at(-1) ?? "";
  const global = read(words.slice(0, -1), request.globals as Flags, false);
  if (global.open !== undefined) return narrowed(await flagValue(global.open, request), current);
  const found = await commandOf(global.args);
  if (found === undefined) {
    if (current.startsWith("-")) return matching(flagWords(request.globals as Flags, isDocker), current);
    return matching(await commandWords(global.args, isDocker), current);
  }
  const { command, verb } = found;
  const own = read(global.args.slice(found.used), command.flags as Flags, command.isInterspersed ?? true);
  if (own.open !== undefined) return narrowed(await flagValue(own.open, request), current);
  const [, name = "", value = ""] = /^--([^=]+)=(.*)$/s.exec(current) ?? [];
  if (name !== "" && !own.isEnded) {
    const values = narrowed(await flagValue(name, request), value);
    return { ...values, words: values.words.map(([word, text]) => [`--${name}=${word}`, text]) };
  }
  if (current.startsWith("-") && !own.isEnded) return matching(flagWords(command.flags as Flags, isDocker), current);
  return narrowed(await argument(verb, command.use, own.args, names), current);
}

function narrowed({ words, hasFiles }: Suggestions, current: string): Suggestions {
  return { words: matching(words, current).words, hasFiles };
}
