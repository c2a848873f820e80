/** How long work may go on before the event loop gets its turn. */
const SLICE_MS = 8;

/** A function to await between steps: lets the event loop run when the steps since the last time took long enough. */
export function breather(): () => Promise<void> | undefined {
  let last = performance.now();
  return () => {
    if (performance.now() - last < SLICE_MS) return undefined;
    return new Promise<void>((resolve) => setImmediate(resolve)).then(() => {
      last = performance.now();
    });
  };
}
