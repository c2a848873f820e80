import { TemplateError } from "./syntax.ts";

export type TokenKind =
  | "text"
  | "open"
  | "close"
  | "space"
  | "field"
  | "variable"
  | "identifier"
  | "string"
  | "number"
  | "char"
  | "dot"
  | "pipe"
  | "("
  | ")"
  | ":="
  | "="
  | ","
  | "eof";

export interface Token {
  readonly kind: TokenKind;
  readonly text: string;
  readonly at: number;
}

const WORD = /[\p{L}\p{Nd}_]/u;
/** What may follow a field, a variable or a word. */
const TERMINATORS = new Set([" ", "\t", "\r", "\n", ".", ",", "|", ":", ")", "("]);

/** Cuts a template into tokens. @throws TemplateError "template: name:1: unclosed action" */
export function lex(source: string, name: string): readonly Token[] {
  return new Lexer(source, name).run();
}

class Lexer {
  readonly #source: string;
  readonly #name: string;
  readonly #tokens: Token[] = [];
  #at = 0;
  #depth = 0;

  constructor(source: string, name: string) {
    this.#source = source;
    this.#name = name;
  }

  #fail(message: string): never {
    const line = this.#source.slice(0, this.#at).split("\n").length;
    throw new TemplateError(`template: ${this.#name}:${line}: ${message}`);
  }

  #push(kind: TokenKind, end: number): void {
    this.#tokens.push({ kind, text: this.#source.slice(this.#at, end), at: this.#at });
    this.#at = end;
  }

  run(): readonly Token[] {
    let trimNext = false;
    for (;;) {
      const open = this.#source.indexOf("{{", this.#at);
      const end = open < 0 ? this.#source.length : open;
      const doesTrim = open >= 0 && /^\{\{-[ \t\r\n]/.test(this.#source.slice(open, open + 4));
      let text = this.#source.slice(this.#at, end);
      if (trimNext) text = text.replace(/^[ \t\r\n]+/, "");
      if (doesTrim) text = text.replace(/[ \t\r\n]+$/, "");
      if (text !== "") this.#tokens.push({ kind: "text", text, at: this.#at });
      this.#at = end;
      if (open < 0) break;
      this.#at = open + (doesTrim ? 3 : 2);
      const rest = this.#source.slice(this.#at).replace(/^[ \t\r\n]+/, "");
      if (rest.startsWith("/*")) {
        const close = this.#source.indexOf("*/", this.#at);
        if (close < 0) this.#fail("unclosed comment");
        this.#at = close + 2;
        const after = /^([ \t\r\n]+-)?\}\}/.exec(this.#source.slice(this.#at));
        if (!after) this.#fail("comment ends before closing delimiter");
        this.#at += after[0].length;
        trimNext = after[1] !== undefined;
        continue;
      }
      this.#tokens.push({ kind: "open", text: "{{", at: open });
      trimNext = this.#action();
    }
    this.#tokens.push({ kind: "eof", text: "", at: this.#source.length });
    return this.#tokens;
  }

  /** Everything up to and with the closing braces; whether they trim what follows. */
  #action(): boolean {
    this.#depth = 0;
    for (;;) {
      const rest = this.#source.slice(this.#at);
      const close = /^([ \t\r\n]+-)?\}\}/.exec(rest);
      if (close) {
        if (this.#depth > 0) this.#fail("unclosed left paren");
        this.#push("close", this.#at + close[0].length);
        return close[1] !== undefined;
      }
      if (rest === "") this.#fail("unclosed action");
      this.#token(rest);
    }
  }

  #token(rest: string): void {
    const [kind, length] = this.#match(rest);
    if (kind === "(") this.#depth++;
    if (kind === ")" && --this.#depth < 0) this.#fail("unexpected right paren");
    this.#push(kind, this.#at + length);
  }

  /** What `rest` begins with, and how long that is. */
  #match(rest: string): readonly [TokenKind, number] {
    const char = rest.charAt(0);
    const space = /^[ \t\r\n]+?(?=[ \t\r\n]-\}\}|[^ \t\r\n]|$)/.exec(rest);
    if (space) return ["space", space[0].length];
    if (rest.startsWith(":=")) return [":=", 2];
    if (char === "=" || char === "," || char === "(" || char === ")") return [char, 1];
    if (char === "|") return ["pipe", 1];
    if (char === '"') return ["string", this.#quoted(rest, /^"(?:[^"\\\n]|\\.)*"/, "unterminated quoted string")];
    if (char === "`") return ["string", this.#quoted(rest, /^`[^`]*`/, "unterminated raw quoted string")];
    if (char === "'") return ["char", this.#quoted(rest, /^'(?:[^'\\\n]|\\.)+'/, "unterminated character constant")];
    if (char === "$") return ["variable", this.#word(/^\$[\p{L}\p{Nd}_]*/u.exec(rest)?.[0] ?? "$")];
    if (char === "." && !/^\.\d/.test(rest)) {
      const field = /^\.[\p{L}\p{Nd}_]+/u.exec(rest);
      return field ? ["field", this.#word(field[0])] : ["dot", 1];
    }
    if (/^[+-]?\.?\d/.test(rest)) return ["number", this.#number(rest)];
    const word = /^[\p{L}\p{Nd}_]+/u.exec(rest);
    if (word) return ["identifier", this.#word(word[0])];
    return this.#fail(`unrecognized character in action: ${codePoint(char)}`);
  }

  #quoted(rest: string, form: RegExp, failure: string): number {
    return form.exec(rest)?.[0].length ?? this.#fail(failure);
  }

  #number(rest: string): number {
    const form = /^[+-]?(?:0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+|(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)/;
    const text = form.exec(rest)?.[0] ?? "";
    const after = rest.charAt(text.length);
    if (text === "" || WORD.test(after)) this.#fail(`bad number syntax: ${JSON.stringify(text + after)}`);
    return text.length;
  }

  #word(text: string): number {
    const after = this.#source.slice(this.#at + text.length);
    const next = after.charAt(0);
    if (after !== "" && !TERMINATORS.has(next) && !after.startsWith("}}")) this.#fail(`bad character ${codePoint(next)}`);
    return text.length;
  }
}

/** `U+0023 '#'` */
function codePoint(char: string): string {
  return `U+${(char.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")} '${char}'`;
}
