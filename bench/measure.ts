/** Measures benchmarks on both engines in turn: A B A B. */
import type { Docker, Engine } from "./engine.ts";
import type { Figure, Result } from "./statistics.ts";

/** What the rows work with. */
export interface Bench {
  readonly docker: Docker;
  readonly dhow: Engine;
  readonly dockerd: Engine;
  /** The compiled dhow. */
  readonly binary: string;
  /** A directory for files. */
  readonly scratch: string;
  /** Archives of the images that both engines have: busybox:latest and deb:base. */
  readonly archives: { readonly busybox: string; readonly debian: string };
  /** How often a row is measured, unless it says another number. */
  readonly rounds: number;
  readonly progress: (text: string) => void;
  /** Aborted when the user stops the benchmark. */
  readonly signal: AbortSignal;
  /** Waits. @throws when the benchmark is stopped */
  readonly sleep: (ms: number) => Promise<void>;
}

/** Work that is measured: each sample gives one number per figure, by the figure's key. */
export interface Row {
  /** What `--only` takes. */
  readonly key: string;
  readonly figures: Readonly<Record<string, Figure>>;
  /** Samples per engine; without it, as asked for by `-n`. */
  readonly rounds?: number;
  /** Samples before that, thrown away. */
  readonly warmUps?: number;
  readonly prepare?: (bench: Bench, engine: Engine) => void | Promise<void>;
  readonly sample: (bench: Bench, engine: Engine) => Readonly<Record<string, number>> | Promise<Readonly<Record<string, number>>>;
  /** Looks, outside of the measured time, whether the work was really done. @throws when it wasn't */
  readonly verify?: (bench: Bench, engine: Engine) => void;
  readonly cleanUp?: (bench: Bench, engine: Engine) => void;
}

/** Measures one row on both engines. A failure of one side is told and ends that side. */
export async function measure(bench: Bench, row: Row): Promise<readonly Result[]> {
  const samples: Record<Engine["name"], Readonly<Record<string, number>>[]> = { dhow: [], dockerd: [] };
  const failed = new Set<Engine>();
  const both = async (work: (engine: Engine) => unknown): Promise<void> => {
    for (const engine of [bench.dhow, bench.dockerd]) {
      // signals are looked at here
      await Bun.sleep(0);
      bench.signal.throwIfAborted();
      if (failed.has(engine)) continue;
      try {
        await work(engine);
      } catch (error) {
        bench.signal.throwIfAborted();
        failed.add(engine);
        bench.progress(`  ! ${row.key}: ${error instanceof Error ? error.message : error}\n`);
      }
    }
  };
  try {
    await both((engine) => row.prepare?.(bench, engine));
    for (let round = 0; round < (row.warmUps ?? 1); round++) await both((engine) => row.sample(bench, engine));
    for (let round = 0; round < (row.rounds ?? bench.rounds); round++) {
      await both(async (engine) => samples[engine.name].push(await row.sample(bench, engine)));
    }
    await both((engine) => row.verify?.(bench, engine));
  } finally {
    for (const engine of [bench.dhow, bench.dockerd]) row.cleanUp?.(bench, engine);
  }
  return Object.entries(row.figures).map(([key, figure]) => {
    const numbers = (engine: Engine): number[] => (failed.has(engine) ? [] : samples[engine.name].flatMap((sample) => sample[key] ?? []));
    return { ...figure, dhow: numbers(bench.dhow), dockerd: numbers(bench.dockerd) };
  });
}
