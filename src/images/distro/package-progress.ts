import type { Report } from "../progress.ts";

interface Phase {
  readonly id: string;
  readonly status: string;
}

const PHASES: readonly (readonly [RegExp, Phase])[] = [
  [/^I: running apt-get update|^I: Retrieving (In)?Release/, { id: "index", status: "Reading the package index" }],
  [/^I: downloading packages|^I: Resolving dependencies/, { id: "download", status: "Downloading" }],
  [/^I: extracting archives|^I: Extracting /, { id: "unpack", status: "Unpacking" }],
  [/^I: installing |^I: (Installing|Configuring) /, { id: "configure", status: "Setting up" }],
  [/^I: cleaning|^I: Base system installed/, { id: "clean", status: "Cleaning up" }],
  [/^I: creating tarball/, { id: "layer", status: "Writing the layer" }],
];

const STEPS: readonly (readonly [RegExp, Phase])[] = [
  [/^Get:\d+(?: \S+){6} \[|^I: Retrieving (?!In|Release|Packages)/, { id: "download", status: "Downloading" }],
  [/^Unpacking |^I: Extracting /, { id: "unpack", status: "Unpacking" }],
  [/^Setting up |^I: Configuring /, { id: "configure", status: "Setting up" }],
];

/** Turns what mmdebstrap (`--verbose`) or debootstrap says into progress: one line per phase, counted in packages. */
export class PackageProgress {
  readonly #report: Report;
  readonly #counts = new Map<string, number>();
  #totalPackages = 0;

  constructor(report: Report) {
    this.#report = report;
  }

  /** Reads one line of the tool's output. */
  read(line: string): void {
    const installed = /(\d+) newly installed/.exec(line)?.[1];
    if (installed !== undefined) this.#totalPackages += Number(installed);
    const phase = PHASES.find(([pattern]) => pattern.test(line))?.[1];
    if (phase && !this.#counts.has(phase.id)) {
      this.#counts.set(phase.id, 0);
      this.#report({ ...phase, progressDetail: {} });
    }
    const step = STEPS.find(([pattern]) => pattern.test(line))?.[1];
    if (step) this.#count(step);
  }

  #count(step: Phase): void {
    const current = (this.#counts.get(step.id) ?? 0) + 1;
    this.#counts.set(step.id, current);
    this.#report({ ...step, progressDetail: { current, total: Math.max(this.#totalPackages, current), units: "packages" } });
  }
}
