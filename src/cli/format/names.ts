/** Compares names as people do: numbers in them by their value. */
export function naturalCompare(a: string, b: string): number {
  const cut = (text: string) => text.split(/(\d+)/);
  const [left, right] = [cut(a), cut(b)];
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const [x = "", y = ""] = [left[i], right[i]];
    if (x === y) continue;
    const isNumber = i % 2 === 1 && x !== "" && y !== "";
    if (isNumber && Number(x) !== Number(y)) return Number(x) - Number(y);
    return x < y ? -1 : 1;
  }
  return 0;
}
