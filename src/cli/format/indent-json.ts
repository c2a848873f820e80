/** Go's json.Indent with four spaces: the text's own numbers, escapes and order stay as they are. */
export function indentJson(text: string): string {
  const out: string[] = [];
  let depth = 0;
  let needsBreak = false;
  const newline = () => out.push(`\n${"    ".repeat(depth)}`);
  for (let i = 0; i < text.length; i++) {
    const char = text.charAt(i);
    if (char === " " || char === "\t" || char === "\n" || char === "\r") continue;
    if (needsBreak && char !== "]" && char !== "}") {
      needsBreak = false;
      depth++;
      newline();
    }
    if (char === '"') {
      const start = i;
      for (i++; i < text.length && text.charAt(i) !== '"'; i++) if (text.charAt(i) === "\\") i++;
      out.push(text.slice(start, i + 1));
    } else if (char === "{" || char === "[") {
      needsBreak = true;
      out.push(char);
    } else if (char === ",") {
      out.push(char);
      newline();
    } else if (char === ":") {
      out.push(": ");
    } else if (char === "}" || char === "]") {
      if (needsBreak) needsBreak = false;
      else {
        depth--;
        newline();
      }
      out.push(char);
    } else out.push(char);
  }
  return out.join("");
}
