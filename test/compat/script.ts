/** A step of a script: one line of a user's shell. */
export interface Step {
  readonly section: string;
  readonly name: string;
  readonly command: string;
  /** Whether the lines that it prints come in no order. */
  readonly isUnordered: boolean;
  /** Set when the engines are known to differ. */
  readonly difference?: Difference;
}

/** A known difference. */
export interface Difference {
  readonly reason: string;
  /** What dhow prints. */
  readonly ours: string;
}

/**
 * Parses a script:
 *
 * ```
 * # a comment
 * == a section
 * what it shows: docker run --rm busybox echo hello
 * something longer: docker run \
 *   --rm busybox echo hello
 * what comes in no order: docker volume ls -q
 *   order: any
 * what differs: docker info -f {{.DefaultRuntime}}
 *   differs: the reason
 *   | crun
 * ```
 * @throws when a line is none of these, or a name comes twice
 */
export function parseScript(text: string): readonly Step[] {
  const steps: Step[] = [];
  let section = "";
  const fail = (line: string): never => {
    throw new Error(`read the script: not understood: ${JSON.stringify(line)}`);
  };
  for (const line of text.split("\n")) {
    if (line === "" || line.startsWith("#")) continue;
    if (line.startsWith("== ")) section = line.slice(3);
    else if (line.startsWith("  ")) {
      const last = steps.pop() ?? fail(line);
      steps.push(continued(last, line.slice(2)));
    } else {
      const [, name = fail(line), command = fail(line)] = /^([^:]+): (.+)$/.exec(line) ?? [];
      if (steps.some((step) => step.section === section && step.name === name)) throw new Error(`read the script: "${name}" comes twice`);
      steps.push({ section, name, command, isUnordered: false });
    }
  }
  return steps;
}

function continued(step: Step, text: string): Step {
  if (text === "order: any") return { ...step, isUnordered: true };
  if (text.startsWith("differs: ")) return { ...step, difference: { reason: text.slice(9), ours: "" } };
  if (step.difference !== undefined && text.startsWith("|"))
    return { ...step, difference: { ...step.difference, ours: `${step.difference.ours}${text.slice(2)}\n` } };
  return { ...step, command: `${step.command}\n${text}` };
}
