/** An integer that JSON shows digit by digit: a plain number, or the text of one that a number can't hold. */
export type JsonUint = number | { readonly rawJSON: string };

/** A number that JSON shows digit by digit although a double can't hold it (`JSON.rawJSON`). */
export function rawUint(value: bigint): JsonUint {
  return (JSON as unknown as { rawJSON(text: string): { readonly rawJSON: string } }).rawJSON(value.toString());
}

const MAX_UINT64 = (1n << 64n) - 1n;

/** A count as Go's `uint64` has it in JSON: at most 2^64 - 1. */
export function saturatedUint64(value: bigint): JsonUint {
  if (value <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(value);
  return rawUint(value < MAX_UINT64 ? value : MAX_UINT64);
}
