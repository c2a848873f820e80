import { DhowError, goRegexp, Struct, shortId, template } from "../../lib/mod.ts";
import type { LogOptions } from "./option-values.ts";

/** What a log may say about its container. */
export interface LogSubject {
  readonly id: string;
  /** Without the leading slash. */
  readonly name: string;
  readonly imageId: string;
  readonly imageName: string;
  /** The program and its arguments. */
  readonly command: readonly string[];
  /** RFC 3339. */
  readonly created: string;
  readonly labels: Readonly<Record<string, string>>;
  /** `KEY=value`. */
  readonly env: readonly string[];
  readonly hostname: string;
}

/** The attributes that `labels`, `labels-regex`, `env` and `env-regex` choose, with names that `rename` gives. @throws invalid for a bad expression */
export function chosenAttributes(
  options: LogOptions,
  subject: LogSubject,
  rename: (name: string) => string = (name) => name,
): Record<string, string> {
  const env = Object.fromEntries(
    subject.env
      .filter((entry) => entry.includes("="))
      .map((entry) => [entry.slice(0, entry.indexOf("=")), entry.slice(entry.indexOf("=") + 1)]),
  );
  const chosen = {
    ...choose(subject.labels, options["labels"], options["labels-regex"]),
    ...choose(env, options["env"], options["env-regex"]),
  };
  return Object.fromEntries(Object.entries(chosen).map(([name, value]) => [rename(name), value]));
}

/** The attributes that a log on this machine keeps: the chosen ones, and a tag when one is asked for. @throws invalid */
export function logAttributes(options: LogOptions, subject: LogSubject): Record<string, string> {
  const attributes = chosenAttributes(options, subject);
  const tag = options["tag"] ? expandTag(options["tag"], subject) : "";
  return tag === "" ? attributes : { ...attributes, tag };
}

/** The tag of a log that goes elsewhere: the short id when none is asked for. @throws invalid */
export function logTag(options: LogOptions, subject: LogSubject): string {
  return expandTag(options["tag"] || "{{.ID}}", subject);
}

function choose(from: Readonly<Record<string, string>>, names: string | undefined, pattern: string | undefined): Record<string, string> {
  const wanted = new Set((names ?? "").split(",").filter((name) => name !== ""));
  const isFound = pattern ? goRegexp(pattern) : () => false;
  return Object.fromEntries(Object.entries(from).filter(([key]) => wanted.has(key) || isFound(key)));
}

/** Expands a tag: a Go template with docker's functions, of docker's logger.Info. @throws invalid */
function expandTag(tag: string, subject: LogSubject): string {
  if (!tag.includes("{{")) return tag;
  const info = new Struct("*logger.Info", {
    ID: shortId(subject.id),
    FullID: subject.id,
    Name: subject.name,
    ImageID: shortId(subject.imageId),
    ImageFullID: subject.imageId,
    ImageName: subject.imageName,
    Command: subject.command.join(" "),
    Hostname: subject.hostname,
    DaemonName: "docker",
    ContainerID: subject.id,
    ContainerName: `/${subject.name}`,
    ContainerEntrypoint: subject.command[0] ?? "",
    ContainerArgs: subject.command.slice(1),
    ContainerImageID: subject.imageId,
    ContainerImageName: subject.imageName,
    ContainerCreated: subject.created,
    ContainerEnv: subject.env,
    ContainerLabels: subject.labels,
  });
  try {
    return template(tag, { name: "log-tag" })(info);
  } catch (cause) {
    throw new DhowError("invalid", cause instanceof Error ? cause.message : String(cause), { cause });
  }
}
