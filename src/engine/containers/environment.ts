import type { Container } from "./store.ts";

const DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

export interface EnvironmentOptions {
  /** The user's directory, unless something else says so. */
  readonly home: string;
  /** The variables of the container's links. */
  readonly linked: readonly string[];
  readonly hasTerminal: boolean;
  /** What an exec sets over those of the container. */
  readonly own?: readonly string[] | null;
}

/** The environment of a process in a container, in docker's order. */
export function environment({ spec }: Container, { home, linked, hasTerminal, own }: EnvironmentOptions): string[] {
  const { Hostname = "", Env } = spec.config;
  const defaults = [DEFAULT_PATH, `HOSTNAME=${Hostname}`, ...(hasTerminal ? ["TERM=xterm"] : []), ...linked];
  const env = overridden(overridden(defaults, Env ?? []), own ?? []);
  // an empty one is none, as for docker's runtime
  const named = env.filter((entry) => entry !== "HOME=");
  return named.some((entry) => entry.startsWith("HOME=")) ? named : [...named, `HOME=${home}`];
}

/**
 * Variables with the values of `own`, as docker overrides them: in their place, new ones behind, and a name alone takes its variable away.
 * @see ReplaceOrAppendEnvValues in container/env.go of moby v28
 */
export function overridden(defaults: readonly string[], own: readonly string[]): string[] {
  const env: (string | undefined)[] = [...defaults];
  const places = new Map(defaults.map((entry, place) => [nameOf(entry), place]));
  for (const entry of own) {
    const place = places.get(nameOf(entry));
    const value = entry.includes("=") ? entry : undefined;
    if (place === undefined) env.push(value);
    else env[place] = value;
  }
  return env.filter((entry) => entry !== undefined);
}

function nameOf(entry: string): string {
  return entry.split("=", 1)[0] ?? "";
}
