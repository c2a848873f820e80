/** `net_raw` in the kernel's form: `CAP_NET_RAW`; `ALL` stays. */
function normalise(name: string): string {
  const upper = name.trim().toUpperCase();
  return upper === "ALL" || upper === "RESET" || upper.startsWith("CAP_") ? upper : `CAP_${upper}`;
}

function sorted(names: readonly string[]): readonly string[] {
  const unique = new Set(names.map(normalise));
  return unique.has("ALL") ? ["ALL"] : [...unique].sort();
}

/** `--cap-add` and `--cap-drop` as they count: in one form, sorted, each once. */
export function effectiveCapabilities(
  add: readonly string[],
  drop: readonly string[],
): { readonly add: readonly string[]; readonly drop: readonly string[] } {
  return { add: sorted(add), drop: sorted(drop) };
}
