import type { BlobStore } from "../../../content/mod.ts";
import type { ImageStore } from "../../../images/mod.ts";
import { type Defect, errorMessage, isKind } from "../../../lib/mod.ts";
import type { Database } from "../../../metadata/mod.ts";
import type { LayerStore } from "../../../snapshots/mod.ts";
import type { CheckOptions, CheckProblem, CheckReport, CheckResult, CheckSeverity, CheckStatus } from "../../../spec/engine/mod.ts";
import type { ContainerDeps } from "../../containers/mod.ts";
import type { EventLog } from "../../event-log.ts";
import type { LeaseBook } from "../../leases/mod.ts";

/** What the checks look at. */
export interface CheckDeps {
  readonly containers: ContainerDeps;
  readonly db: Database;
  readonly images: ImageStore;
  readonly layers: LayerStore;
  readonly blobs: BlobStore;
  readonly history: EventLog;
  readonly book: LeaseBook;
  /** Temporary files that no work in flight has made. */
  readonly temporaryDefects: () => Defect[];
}

/** A defect that perhaps nothing here can mend. */
export type Problem = Omit<Defect, "mend"> & Partial<Pick<Defect, "mend">>;

/** One look at one kind of thing. It changes nothing, and may come upon work in flight: only what it finds again counts. */
export interface Check {
  readonly id: string;
  readonly text: string;
  readonly severity: CheckSeverity;
  /** What `mend` does; empty when there is never one. */
  readonly repair: string;
  /** What a user can do about a problem that can't be mended, or was not. */
  readonly advice: string;
  /** Takes as long as reading everything. */
  readonly isDeep?: boolean;
  find(deps: CheckDeps, isDeep: boolean): readonly Problem[] | Promise<readonly Problem[]>;
}

/** Between two looks: what goes on behind an answer is done by then, or is known to go on. */
const PAUSE_MS = 300;
/** How long a removal may take that waits for a log's receiver. */
const SETTLE_MS = 15_000;

/**
 * Makes `checks`, while the daemon works; mends, if asked to, what can be mended. All of them look once, and those that found something
 * again after a pause; what one mends may show those after it more.
 */
export async function runChecks(checks: readonly Check[], deps: CheckDeps, options: CheckOptions): Promise<CheckReport> {
  const looks: Look[] = [];
  for (const check of checks.filter(({ isDeep }) => !isDeep || options.deep)) {
    options.signal?.throwIfAborted();
    const find = async (): Promise<readonly Problem[]> => check.find(deps, options.deep);
    looks.push({ check, find, first: names(await find()) });
  }
  if (looks.some(({ first }) => first.size > 0)) await settle(deps);
  const results: CheckResult[] = [];
  let hasMended = false;
  for (const look of looks) {
    options.signal?.throwIfAborted();
    const problems = look.first.size > 0 || hasMended ? await confirmed(look, deps) : [];
    const result = await conclude(look, problems, deps, options);
    hasMended ||= result.Status === "fixed";
    results.push(result);
  }
  const problems = results.flatMap(({ Problems }) => Problems);
  const fixed = problems.filter(({ Status }) => Status === "fixed").length;
  return { Checks: results, Found: problems.length, Fixed: fixed, Left: problems.length - fixed };
}

interface Look {
  readonly check: Check;
  readonly find: () => Promise<readonly Problem[]>;
  /** What it found at first. */
  readonly first: ReadonlySet<string>;
}

function names(problems: readonly Problem[]): ReadonlySet<string> {
  return new Set(problems.map(({ what }) => what));
}

async function conclude(
  { check, find }: Look,
  problems: readonly Problem[],
  deps: CheckDeps,
  { repair }: CheckOptions,
): Promise<CheckResult> {
  const failures = repair ? await mendAll(problems, find, deps) : new Map<string, string>();
  const left = repair && problems.length > 0 ? names(await find()) : names(problems);
  const told = problems.map(({ what, mend }): CheckProblem => {
    if (!left.has(what) && !failures.has(what)) return { What: what, Status: "fixed", Advice: "", Error: "" };
    const isMendable = mend !== undefined && !repair;
    return {
      What: what,
      Status: isMendable ? "found" : "damaged",
      Advice: isMendable ? "run: dhow system check --repair" : check.advice,
      Error: failures.get(what) ?? "",
    };
  });
  const { id, text, severity, repair: action } = check;
  return { Id: id, Text: text, Severity: severity, Repair: action, Status: worst(told), Problems: told };
}

function worst(problems: readonly CheckProblem[]): CheckStatus {
  const order = ["damaged", "found", "fixed"] as const;
  return order.find((status) => problems.some(({ Status }) => Status === status)) ?? "ok";
}

/**
 * What is found before and after work in flight has had its time, and then, where it is of a container, under its lock: a start or a
 * removal is not caught in the middle.
 */
async function confirmed({ find, first }: Look, deps: CheckDeps): Promise<readonly Problem[]> {
  let again = await find();
  if (again.some(({ what }) => !first.has(what))) {
    // new since then, or shown by what was mended
    const seen = names(again);
    await settle(deps);
    again = (await find()).filter(({ what }) => first.has(what) || seen.has(what));
  }
  const found: Problem[] = [];
  for (const problem of again) if (await isStillThere(problem, find, deps)) found.push(problem);
  return found;
}

async function settle({ containers }: CheckDeps): Promise<void> {
  await Bun.sleep(PAUSE_MS);
  const late = Promise.withResolvers<void>();
  const timer = setTimeout(late.resolve, SETTLE_MS);
  await Promise.race([containers.background.settled(), late.promise]);
  clearTimeout(timer);
}

async function isStillThere({ what, owner }: Problem, look: () => Promise<readonly Problem[]>, deps: CheckDeps): Promise<boolean> {
  const { store, locks } = deps.containers;
  if (owner === undefined || store.get(owner) === undefined) return true;
  return locks.run(owner, async () => (await look()).some((problem) => problem.what === what));
}

/** Mends what it can; returns why it could not, by what it was about. */
async function mendAll(
  problems: readonly Problem[],
  look: () => Promise<readonly Problem[]>,
  deps: CheckDeps,
): Promise<ReadonlyMap<string, string>> {
  const failures = new Map<string, string>();
  const { log } = deps.containers;
  for (const problem of problems) {
    const { what, owner, mend } = problem;
    if (mend === undefined) continue;
    try {
      if (owner === undefined) await mend();
      else
        await deps.containers.locks.run(owner, async () => {
          if ((await look()).some((found) => found.what === what)) await mend();
        });
      log.warn("repaired", { what });
    } catch (error) {
      if (isKind(error, "notFound")) continue;
      log.error("repair failed", { what, error });
      failures.set(what, errorMessage(error));
    }
  }
  return failures;
}
