import { bytesSize, formatDuration, parseTime } from "../../../lib/mod.ts";
import { signalName } from "../../../linux/mod.ts";
import type { Finding } from "../../../spec/engine/mod.ts";
import { type ContainerState, isRunning, type SentSignal } from "../container.ts";
import type { Program } from "./program.ts";

/** Everything that an explanation is made from. */
export interface Facts {
  readonly name: string;
  readonly state: ContainerState;
  readonly command: string;
  /** In bytes; 0 = none. */
  readonly memoryLimit: number;
  /** Of open files, as the container was given it; undefined = the runtime's. */
  readonly fileLimit: number | undefined;
  readonly stopSignal: number;
  readonly restartPolicy: string;
  /** The engine's own, `amd64`. */
  readonly architecture: string;
  /** Undefined when there is nothing to look at. */
  readonly program: Program | undefined;
  /** The last lines of the log, oldest first. */
  readonly log: readonly string[];
  /** Who has the port that was refused: `container web` or `process 123 (nginx)`. */
  readonly portHolder: string | undefined;
}

const FIRST_SIGNAL = 128;
const KILLED = 137;
const LINES_SHOWN = 5;
const EXITED_WITH_HOST = 255;
const ASKED_BY: Readonly<Record<SentSignal["by"], string>> = {
  stop: "a request to stop it (docker stop)",
  kill: "a request to kill it (docker kill)",
  restart: "a request to restart it (docker restart)",
  unhealthy: "its policy for unhealthy containers",
};

/** What is known of a container's end, failed start or bad health, the best explanation first. */
export function explain(facts: Facts): Finding[] {
  const { state } = facts;
  const findings: Finding[] = [];
  if (isRunning(state)) {
    findings.push(...health(facts), finding("running", state.status === "paused" ? "It is paused." : `It runs since ${state.startedAt}.`));
  } else if (state.error !== "") findings.push(...startFailure(facts));
  else if (state.status === "created") findings.push(finding("created", "It has never been started.", [], `docker start ${facts.name}`));
  else findings.push(...ended(facts));
  if (!isRunning(state)) findings.push(...health(facts));
  return [...findings, ...restarts(facts)];
}

function finding(cause: Finding["Cause"], text: string, evidence: readonly string[] = [], advice = ""): Finding {
  return { Cause: cause, Text: text, Evidence: evidence, Advice: advice };
}

/** What runtimes print as the container's last words when the kernel refuses its program: crun's and runc's. */
export const EXEC_FAILED =
  /exec container process .*`[^`]*`: |^exec \S+: (?:no such file or directory|exec format error|permission denied)/i;

function ended(facts: Facts): Finding[] {
  const { state, log } = facts;
  const { exitCode } = state;
  const refused = log.findLast((line) => EXEC_FAILED.test(line));
  const failure = refused === undefined ? undefined : programFailure(facts, [refused]);
  if (failure !== undefined) return [failure];
  const own = [...outOfMemory(facts), ...signalled(facts), ...hints(facts)];
  if (own.length > 0) return own;
  if (exitCode === 0) return [finding("ended", `Its program ended by itself, without an error, after ${ranFor(state)}.`)];
  return [finding("failed", `Its program ended by itself with exit code ${exitCode}, after ${ranFor(state)}.`, log.slice(-LINES_SHOWN))];
}

function ranFor({ startedAt, finishedAt }: ContainerState): string {
  const ns = (parseTime(finishedAt) ?? 0n) - (parseTime(startedAt) ?? 0n);
  return formatDuration(Number(ns > 0n ? ns : 0n));
}

function outOfMemory({ state, memoryLimit, name }: Facts): Finding[] {
  if (!state.oomKilled) return [];
  const at = state.memoryAtOom;
  const limit = memoryLimit || at?.limitBytes || 0;
  const evidence = [
    ...(at ? [`in use when the kernel killed: ${bytesSize(at.usageBytes)}, at most before: ${bytesSize(at.peakBytes)}`] : []),
    ...(limit > 0 ? [`limit: ${bytesSize(limit)}`] : []),
    `exit code ${state.exitCode}`,
  ];
  if (memoryLimit === 0) {
    return [
      finding(
        "out-of-memory",
        "The kernel killed it because a group above it, or the machine, ran out of memory.",
        evidence,
        "look at the machine's memory: free -m, dmesg",
      ),
    ];
  }
  const more = `docker update --memory ${Math.ceil((limit * 2) / 1048576)}m --memory-swap -1 ${name}`;
  return [
    finding("out-of-memory", "It ran out of memory, and the kernel killed it.", evidence, `give it more (${more}), or have it use less`),
  ];
}

function signalled({ state, stopSignal, name }: Facts): Finding[] {
  const { exitCode, lastSignal, oomKilled } = state;
  if (exitCode <= FIRST_SIGNAL || oomKilled || exitCode === EXITED_WITH_HOST) return [];
  const signal = exitCode - FIRST_SIGNAL;
  const what = signalName(signal);
  if (what === undefined) return [];
  if (lastSignal !== undefined && (lastSignal.signal === signal || lastSignal.signal === 9)) {
    const evidence = [`${signalName(lastSignal.signal)} sent at ${lastSignal.at}`];
    const isLate = lastSignal.signal === 9 && (lastSignal.by === "stop" || lastSignal.by === "restart") && stopSignal !== 9;
    const advice = isLate
      ? `it did not end in time after ${signalName(stopSignal)}: handle that signal in the program, start it with --init, or give it more time (docker stop -t)`
      : "";
    return [finding("signal", `It ended by ${what}, which came from ${ASKED_BY[lastSignal.by]}.`, evidence, advice)];
  }
  if (signal === 11 || signal === 6 || signal === 7 || signal === 4 || signal === 8) {
    const why = signal === 6 ? "it aborted itself" : "it did what the processor or the kernel does not allow";
    return [
      finding(
        "signal",
        `It crashed with ${what}: ${why}.`,
        [`exit code ${exitCode}`],
        signal === 4 ? "the image may be made for a newer processor" : "",
      ),
    ];
  }
  const outside = "no client of this engine sent it: another process of the host, or one in the container, did";
  const advice =
    exitCode === KILLED ? `docker events --since ${state.startedAt} --filter container=${name} shows what was asked of the engine` : "";
  return [finding("signal", `It ended by ${what}, or with exit code ${exitCode}; ${outside}.`, [`exit code ${exitCode}`], advice)];
}

/** What the log's last lines give away. */
function hints(facts: Facts): Finding[] {
  const { state, log, fileLimit } = facts;
  if (state.exitCode === 0) return [];
  const line = (pattern: RegExp): string | undefined => log.findLast((text) => pattern.test(text));
  const found: Finding[] = [];
  const library = line(/error while loading shared libraries: |Error loading shared library /);
  if (library !== undefined) {
    const name = /librar(?:ies|y):? ([^:\s]+)/.exec(library)?.[1] ?? "a library";
    found.push(
      finding(
        "library",
        `Its program needs ${name}, which the image does not have.`,
        [library],
        "install the package that has it in the image, or take a base image with it",
      ),
    );
  }
  const descriptors = line(/too many open files|EMFILE/i);
  if (descriptors !== undefined) {
    const limit = fileLimit === undefined ? "" : ` Its limit is ${fileLimit}.`;
    found.push(
      finding(
        "descriptors",
        `It had too many files open.${limit}`,
        [descriptors],
        "raise the limit (--ulimit nofile=65536), or look for files that it never closes",
      ),
    );
  }
  const disk = line(/no space left on device|ENOSPC/i);
  if (disk !== undefined)
    found.push(
      finding(
        "disk",
        "It found no space left on a disk.",
        [disk],
        "docker system df shows what takes room, docker system prune makes some",
      ),
    );
  const port = line(/address already in use|EADDRINUSE/i);
  if (port !== undefined) found.push(finding("port", "It could not listen: something in its network has the port already.", [port]));
  const missing = line(/(?:: |^)([^:\s]+): (?:command )?not found$|: not found$/i);
  if (state.exitCode === 127 && missing !== undefined && library === undefined) {
    found.push(
      finding(
        "not-found",
        "A shell in it found no such program.",
        [missing],
        "install the program in the image, or correct its name or PATH",
      ),
    );
  }
  const denied = line(/permission denied/i);
  if (state.exitCode === 126 && denied !== undefined) {
    found.push(finding("not-executable", "A shell in it could not run a file.", [denied], "make it executable (chmod +x) in the image"));
  }
  return found;
}

/** The start failed: `state.error` has docker's words for it. */
function startFailure(facts: Facts): Finding[] {
  const { state, portHolder } = facts;
  const { error, exitCode } = state;
  const evidence = [error];
  if (/port is already allocated|address already in use/.test(error)) {
    const who = portHolder === undefined ? "" : ` ${portHolder} has it.`;
    return [
      finding(
        "port",
        `It could not start: a port that it publishes is taken.${who}`,
        evidence,
        "publish another port (-p), or stop what has this one",
      ),
    ];
  }
  if (/no space left on device|database or disk is full/i.test(error)) {
    return [
      finding(
        "disk",
        "It could not start: there is no space left on the disk.",
        evidence,
        "docker system df shows what takes room, docker system prune makes some",
      ),
    ];
  }
  if (/bind source path does not exist|mount/i.test(error) && !/OCI runtime create failed.*exec/.test(error)) {
    return [finding("mount", "It could not start: something could not be mounted.", evidence)];
  }
  if (/did not start the container within/.test(error)) {
    return [
      finding("runtime", "It could not start: the OCI runtime hung.", evidence, "look at the daemon's log, and at the load of the machine"),
    ];
  }
  if (exitCode === 127 || exitCode === 126 || /exec format error/i.test(error)) {
    const found = programFailure(facts, evidence);
    if (found !== undefined) return [found];
  }
  return [finding("runtime", "It could not start.", evidence)];
}

/** Why a program can't be started, by what the root file system has of it. */
function programFailure({ program, architecture, command }: Facts, evidence: readonly string[]): Finding | undefined {
  if (program === undefined) return undefined;
  switch (program.kind) {
    case "missing": {
      const places = program.searched.length > 1 ? [`looked for in: ${program.searched.join(", ")}`] : [];
      return finding(
        "not-found",
        `It could not start: the image has no program ${JSON.stringify(command)}.`,
        [...evidence, ...places],
        "correct the command, or install the program in the image",
      );
    }
    case "directory":
      return finding("not-executable", `It could not start: ${program.path} is a directory.`, evidence, "name a program in it");
    case "no permission":
      return finding(
        "not-executable",
        `It could not start: ${program.path} is not executable.`,
        evidence,
        `chmod +x ${program.path} in the image, or start it by its interpreter`,
      );
    case "script":
      if (program.endsInReturn) {
        return finding(
          "interpreter",
          `It could not start: the first line of ${program.path} ends in a carriage return, as files from Windows do.`,
          evidence,
          "save it with Unix line ends (dos2unix)",
        );
      }
      return program.hasInterpreter
        ? undefined
        : finding(
            "interpreter",
            `It could not start: ${program.path} is a script for ${program.interpreter}, which the image does not have.`,
            evidence,
            `install ${program.interpreter} in the image, or change the script's first line`,
          );
    case "elf":
      if (program.elf.architecture !== architecture && !(architecture === "amd64" && program.elf.architecture === "386")) {
        return finding(
          "architecture",
          `It could not start: ${program.path} is made for ${program.elf.architecture}, and this machine is ${architecture}.`,
          evidence,
          `take an image for linux/${architecture}`,
        );
      }
      return program.hasInterpreter
        ? undefined
        : finding(
            "interpreter",
            `It could not start: ${program.path} needs the loader ${program.elf.interpreter}, which the image does not have.`,
            evidence,
            "it is linked against another C library than the image has: build it statically, or take a base image with that library",
          );
    case "unknown":
      return finding(
        "not-executable",
        `It could not start: ${program.path} is no program: it has neither an ELF header nor a first line with #!.`,
        evidence,
        "name the interpreter in the file's first line (#!/bin/sh), or start it by that",
      );
    default: {
      const never: never = program;
      return never;
    }
  }
}

function health({ state }: Facts): Finding[] {
  if (state.health?.status !== "unhealthy" && !state.isUnhealthyRestart) return [];
  const { failingStreak = 0, log = [] } = state.health ?? {};
  const results = log.flatMap((result) =>
    result === null ? [] : [`${result.Start}: exit code ${result.ExitCode}: ${(result.Output ?? "").trim()}`],
  );
  return [finding("health", `Its health check has failed ${failingStreak} times in a row.`, results.slice(-LINES_SHOWN))];
}

function restarts({ state, restartPolicy, name }: Facts): Finding[] {
  if (state.status === "restarting") {
    return [
      finding(
        "restarts",
        `It ended ${state.restartCount + 1} times, and is started again after a pause.`,
        [`restart policy: ${restartPolicy}`],
        `docker update --restart no ${name} ends that`,
      ),
    ];
  }
  if (state.restartCount === 0) return [];
  return [
    finding("restarts", `Its restart policy has started it again ${state.restartCount} times.`, [`restart policy: ${restartPolicy}`]),
  ];
}
