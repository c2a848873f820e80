import { DhowError } from "../../lib/mod.ts";

/** What a scoped socket lets its clients do, by noun: the table that docs/sockets.md shows. */
const VERBS = {
  containers: ["read", "create", "control", "exec", "files", "remove", "prune"],
  images: ["read", "create", "remove", "prune"],
  volumes: ["read", "create", "remove", "prune"],
  networks: ["read", "create", "control", "remove", "prune"],
  system: ["read"],
  leases: ["read", "create", "remove"],
} as const;

export type Noun = keyof typeof VERBS;
export type Verb<N extends Noun = Noun> = (typeof VERBS)[N][number];
export type Labels = Readonly<Record<string, string>> | null | undefined;

/** The label that a rule's objects have; any value without one. */
interface RuleLabel {
  readonly key: string;
  readonly value?: string | undefined;
}

/** One `--allow`: verbs, for the objects of a noun that have a label. */
export interface Rule {
  readonly noun: Noun;
  readonly verbs: ReadonlySet<string>;
  readonly label?: RuleLabel | undefined;
}

/** Names that can be written in a Dockerfile's LABEL as they are. */
const KEY = /^[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?$/;
const VALUE = /^[A-Za-z0-9._/@:+-]*$/;
/** What events say of a container beside its labels: a label of this name could not be told from it. */
const EVENT_ATTRIBUTES: ReadonlySet<string> = new Set(
  ["comment", "container", "execDuration", "execID", "exitCode", "height", "image"].concat([
    "imageID",
    "imageRef",
    "name",
    "oldName",
    "signal",
    "width",
  ]),
);
const UNLABELLED: ReadonlySet<Noun> = new Set(["system", "leases"]);

function isNoun(text: string): text is Noun {
  return Object.hasOwn(VERBS, text);
}

/** Reads `NOUN:VERB[,VERB…] [label=KEY[=VALUE]]`; `*` stands for every noun, or for every verb of one. @throws invalid */
export function parseRule(text: string): readonly Rule[] {
  const refuse = (why: string): never => {
    throw new DhowError("invalid", `invalid rule ${JSON.stringify(text)}: ${why}`);
  };
  const [what = "", ...options] = text.trim().split(/\s+/);
  const [noun = "", verbs = "", more] = what.split(":");
  if (noun === "" || verbs === "" || more !== undefined) refuse("want NOUN:VERB[,VERB...] [label=KEY[=VALUE]]");
  if (noun !== "*" && !isNoun(noun)) refuse(`no such noun: ${noun} (there are ${Object.keys(VERBS).join(", ")})`);
  if (options.length > 1) refuse("one label at most");
  const label = options[0] === undefined ? undefined : parseLabel(options[0], refuse);
  const nouns = isNoun(noun) ? [noun] : (Object.keys(VERBS) as Noun[]);
  if (label !== undefined && isNoun(noun) && UNLABELLED.has(noun)) refuse(`${noun} have no labels`);
  const asked = verbs.split(",");
  const known = new Set<string>(nouns.flatMap((one) => VERBS[one]));
  for (const verb of asked) if (verb !== "*" && !known.has(verb)) refuse(`no such verb: ${verb} (there are ${[...known].join(", ")})`);
  return nouns.map((one) => ({
    noun: one,
    verbs: new Set<string>(VERBS[one].filter((verb) => asked.includes("*") || asked.includes(verb))),
    ...(label === undefined || UNLABELLED.has(one) ? {} : { label }),
  }));
}

function parseLabel(text: string, refuse: (why: string) => never): RuleLabel {
  if (!text.startsWith("label=")) return refuse(`found ${JSON.stringify(text)}, want label=KEY[=VALUE]`);
  const [key = "", ...rest] = text.slice("label=".length).split("=");
  const value = rest.length === 0 ? undefined : rest.join("=");
  if (!KEY.test(key) || !VALUE.test(value ?? "")) return refuse("a label's key and value take letters, digits and ._/@:+-");
  if (key.startsWith("dhow.") || EVENT_ATTRIBUTES.has(key)) return refuse(`the label ${key} is the engine's own`);
  return { key, value };
}

function hasLabel(labels: Labels, { key, value }: RuleLabel): boolean {
  const found = labels && Object.hasOwn(labels, key) ? labels[key] : undefined;
  return found !== undefined && (value === undefined || found === value);
}

/** The rules of one scoped socket: what it may see and do. Whatever no rule allows is refused. */
export class Access {
  readonly socket: string;
  readonly #rules: readonly Rule[];

  constructor(socket: string, rules: readonly string[]) {
    this.socket = socket;
    this.#rules = rules.flatMap(parseRule);
  }

  #of(noun: Noun): readonly Rule[] {
    return this.#rules.filter((rule) => rule.noun === noun);
  }

  /** A refusal in this socket's name. */
  refusal(what: string): DhowError {
    return new DhowError("forbidden", `socket ${this.socket} does not allow ${what}`);
  }

  /** Whether any object may be treated so. */
  may<N extends Noun>(noun: N, verb: Verb<N>): boolean {
    return this.#of(noun).some(({ verbs }) => verbs.has(verb));
  }

  /** @throws forbidden when no object may be treated so */
  require<N extends Noun>(noun: N, verb: Verb<N>): void {
    if (!this.may(noun, verb)) throw this.refusal(`${noun}:${verb}`);
  }

  /** Whether objects with these labels are there for the socket's clients. */
  sees(noun: Noun, labels: Labels): boolean {
    return this.#of(noun).some(({ label, verbs }) => verbs.size > 0 && (label === undefined || hasLabel(labels, label)));
  }

  /** What all visible objects of a noun have, as filters spell it; undefined when there is no one label. */
  commonLabel(noun: Noun): string | undefined {
    const [first, ...others] = this.#of(noun);
    if (first?.label === undefined || others.some(({ label }) => label?.key !== first.label?.key || label?.value !== first.label?.value))
      return undefined;
    const { key, value } = first.label;
    return value === undefined ? key : `${key}=${value}`;
  }

  /** Whether lists show objects with these labels. */
  reads(noun: Exclude<Noun, "system">, labels: Labels): boolean {
    return this.#allows(noun, "read", labels);
  }

  #allows(noun: Noun, verb: string, labels: Labels): boolean {
    return this.#of(noun).some(({ label, verbs }) => verbs.has(verb) && (label === undefined || hasLabel(labels, label)));
  }

  /** @throws forbidden when an object with these labels is seen, and not to be treated so */
  requireOn<N extends Noun>(noun: N, verb: Verb<N>, labels: Labels): void {
    if (!this.#allows(noun, verb, labels)) throw this.refusal(`${noun}:${verb} of this object`);
  }

  /** Whether a verb is allowed for every object of a noun, whatever its labels. */
  isEverything<N extends Noun>(noun: N, verb: Verb<N>): boolean {
    return this.#of(noun).some(({ label, verbs }) => verbs.has(verb) && label === undefined);
  }

  /** The label, as filters spell it, of each rule that allows `verb`; undefined for one without. */
  labelsFor<N extends Noun>(noun: N, verb: Verb<N>): readonly (string | undefined)[] {
    if (this.isEverything(noun, verb)) return [undefined];
    const labels = this.#of(noun).flatMap(({ verbs, label }) => (label !== undefined && verbs.has(verb) ? [label] : []));
    return labels.map(({ key, value }) => (value === undefined ? key : `${key}=${value}`));
  }

  /**
   * The labels that something new gets, by the first rule that what was asked for fits to.
   * @throws forbidden when that is none: another value was asked for
   */
  labelsOfNew(noun: Noun, asked: Labels): Readonly<Record<string, string>> {
    const rules = this.#of(noun).filter(({ verbs }) => verbs.has("create"));
    if (rules.length === 0) throw this.refusal(`${noun}:create`);
    for (const { label } of rules) {
      if (label === undefined) return {};
      const given = asked?.[label.key];
      if (given === undefined) return { [label.key]: label.value ?? "" };
      if (label.value === undefined || label.value === given) return { [label.key]: given };
    }
    throw this.refusal(`the label ${rules[0]?.label?.key}=${asked?.[rules[0]?.label?.key ?? ""]}`);
  }
}
