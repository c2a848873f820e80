/** How a table's columns are laid out, as Go's text/tabwriter is told. */
export interface TabOptions {
  readonly minWidth: number;
  readonly padding: number;
}

const TABLE: TabOptions = { minWidth: 10, padding: 3 };

/** Columns that `text` takes on a terminal; escape sequences take none. */
export function displayWidth(text: string): number {
  return /^[\x20-\x7e]*$/.test(text) ? text.length : Bun.stringWidth(text);
}

/** Aligns tab-terminated cells in columns of neighbouring lines, as Go's text/tabwriter does. */
export function alignColumns(text: string, { minWidth, padding }: TabOptions = TABLE): string {
  const lines = text.split("\n").map((line) => line.split("\t"));
  const out: string[] = [];
  const widths: number[] = [];
  const print = (from: number, to: number) => {
    for (const cells of lines.slice(from, to)) {
      out.push(
        cells
          .map((cell, i) => (i < cells.length - 1 ? cell + " ".repeat(Math.max(0, (widths[i] ?? 0) - displayWidth(cell))) : cell))
          .join(""),
      );
    }
  };
  const hasColumn = (line: number, column: number) => column < (lines[line]?.length ?? 0) - 1;
  const format = (from: number, to: number) => {
    const column = widths.length;
    let start = from;
    for (let i = from; i < to; i++) {
      if (!hasColumn(i, column)) continue;
      print(start, i);
      start = i;
      let width = minWidth;
      for (; i < to && hasColumn(i, column); i++) width = Math.max(width, displayWidth(lines[i]?.[column] ?? "") + padding);
      widths.push(width);
      format(start, i);
      widths.pop();
      start = i;
    }
    print(start, to);
  };
  format(0, lines.length);
  return out.join("\n");
}
