import { lex, type Token } from "./lex.ts";
import { type Command, type Node, type Operand, type Pipe, TemplateError, type Tree } from "./syntax.ts";

/** Parses a template whose functions are `functions`. @throws TemplateError in Go's words */
export function parse(source: string, name: string, functions: ReadonlySet<string>): Tree {
  return new Parser(source, name, functions).run();
}

const ESCAPES: Readonly<Record<string, string>> = { n: "\n", t: "\t", r: "\r", a: "\x07", b: "\b", f: "\f", v: "\v" };

/** The text of a quoted Go string. */
export function unquote(text: string): string {
  const inner = text.slice(1, -1);
  if (text.startsWith("`")) return inner;
  return inner.replace(/\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)/gs, (_, code: string) => {
    const first = code.charAt(0);
    if (/[xuU]/.test(first) && code.length > 1) return codePointText(Number.parseInt(code.slice(1), 16));
    if (/^[0-7]{3}$/.test(code)) return String.fromCodePoint(Number.parseInt(code, 8));
    return ESCAPES[first] ?? first;
  });
}

/** What is beyond Unicode is U+FFFD, as Go's `string(rune)` has it. */
function codePointText(code: number): string {
  return code > 0x10ffff ? "\ufffd" : String.fromCodePoint(code);
}

/** How deep parentheses and blocks may be nested: well within the stack. */
const DEPTH_MAX = 1000;

class Parser {
  readonly #source: string;
  readonly #name: string;
  readonly #functions: ReadonlySet<string>;
  readonly #tokens: readonly Token[];
  #next = 0;
  #variables: string[] = ["$"];
  #rangeDepth = 0;
  #depth = 0;
  readonly #defined = new Map<string, readonly Node[]>();

  constructor(source: string, name: string, functions: ReadonlySet<string>) {
    this.#source = source;
    this.#name = name;
    this.#functions = functions;
    this.#tokens = lex(source, name);
  }

  #fail(message: string, token: Token = this.#peek()): never {
    const line = this.#source.slice(0, token.at).split("\n").length;
    throw new TemplateError(`template: ${this.#name}:${line}: ${message}`);
  }

  #shown(token: Token): string {
    if (token.kind === "eof") return "EOF";
    return token.text.length > 10 ? `${JSON.stringify(token.text.slice(0, 10))}...` : JSON.stringify(token.text);
  }

  #unexpected(token: Token, context: string): never {
    const shown =
      token.kind === "identifier" &&
      ["if", "else", "end", "range", "with", "break", "continue", "define", "template", "block"].includes(token.text)
        ? `<${token.text}>`
        : token.kind === "dot"
          ? "<.>"
          : token.kind === "field" || token.kind === "variable" || token.kind === "identifier"
            ? `<${token.text}>`
            : this.#shown(token);
    this.#fail(`unexpected ${shown} in ${context}`, token);
  }

  #peek(): Token {
    return this.#tokens[this.#next] ?? { kind: "eof", text: "", at: this.#source.length };
  }

  #take(): Token {
    const token = this.#peek();
    this.#next++;
    return token;
  }

  #skipSpace(): Token {
    while (this.#peek().kind === "space") this.#next++;
    return this.#peek();
  }

  run(): Tree {
    const { nodes, end } = this.#list();
    if (end !== undefined) this.#fail(`unexpected {{${end}}}`);
    return { nodes, defined: this.#defined };
  }

  /** Nodes up to `{{end}}`, `{{else}}` or the end; for else, what follows it in its braces is still to be read. */
  #list(): { readonly nodes: readonly Node[]; readonly end: "end" | "else" | undefined } {
    const nodes: Node[] = [];
    for (;;) {
      const token = this.#take();
      if (token.kind === "eof") return { nodes, end: undefined };
      if (token.kind === "text") {
        nodes.push({ kind: "text", text: token.text });
        continue;
      }
      const word = this.#skipSpace();
      if (word.kind === "identifier") {
        if (word.text === "end" || word.text === "else") {
          this.#take();
          if (word.text === "end") this.#close("end");
          return { nodes, end: word.text };
        }
        if (word.text === "define") {
          this.#take();
          this.#define(this.#templateName("define clause"), "define clause");
          continue;
        }
        const node = this.#keyword(word);
        if (node !== undefined) {
          nodes.push(node);
          continue;
        }
      }
      nodes.push({ kind: "action", pipe: this.#pipeline("command", "close") });
    }
  }

  #close(context: string): void {
    const token = this.#skipSpace();
    if (token.kind !== "close") this.#unexpected(token, context);
    this.#take();
  }

  #keyword(word: Token): Node | undefined {
    if (word.text === "if" || word.text === "with" || word.text === "range") {
      this.#take();
      return this.#control(word.text);
    }
    if (word.text === "break" || word.text === "continue") {
      this.#take();
      if (this.#rangeDepth === 0) this.#fail(`{{${word.text}}} outside {{range}}`);
      this.#close(`{{${word.text}}}`);
      return { kind: word.text };
    }
    if (word.text === "template" || word.text === "block") {
      this.#take();
      return this.#template(word, `${word.text} clause`);
    }
    return undefined;
  }

  #templateName(context: string): string {
    const token = this.#skipSpace();
    if (token.kind !== "string") this.#unexpected(token, context);
    this.#take();
    return unquote(token.text);
  }

  #template(word: Token, context: string): Node {
    const { at } = this.#skipSpace();
    const name = this.#templateName(context);
    let pipe: Pipe | undefined;
    if (word.text === "template" && this.#skipSpace().kind === "close") this.#take();
    else pipe = this.#pipeline(context, "close");
    if (word.text === "block") this.#body(name, context);
    return { kind: "template", at, name, pipe };
  }

  #define(name: string, context: string): void {
    this.#close(context);
    this.#body(name, context);
  }

  /** What a template of that name is, up to its end; it has variables of its own. */
  #body(name: string, context: string): void {
    if (++this.#depth > DEPTH_MAX) this.#fail("max expression depth exceeded");
    const [variables, rangeDepth] = [this.#variables, this.#rangeDepth];
    this.#variables = ["$"];
    this.#rangeDepth = 0;
    const { nodes, end } = this.#list();
    if (end === undefined) this.#fail("unexpected EOF");
    if (end === "else") this.#fail(`unexpected {{else}} in ${context}`);
    // an empty definition doesn't take the place of one that says something
    if (!this.#defined.has(name) || nodes.some((node) => node.kind !== "text" || node.text.trim() !== "")) this.#defined.set(name, nodes);
    this.#depth--;
    this.#variables = variables;
    this.#rangeDepth = rangeDepth;
  }

  #control(kind: "if" | "with" | "range"): Node {
    if (++this.#depth > DEPTH_MAX) this.#fail("max expression depth exceeded");
    const scope = [...this.#variables];
    const pipe = this.#pipeline(kind, "close");
    if (kind === "range") this.#rangeDepth++;
    const { nodes: body, end } = this.#list();
    if (kind === "range") this.#rangeDepth--;
    let otherwise: readonly Node[] = [];
    if (end === undefined) this.#fail("unexpected EOF");
    if (end === "else") {
      const token = this.#skipSpace();
      if (token.kind === "identifier" && (token.text === "if" || token.text === "with") && token.text === kind) {
        this.#take();
        otherwise = [this.#control(kind)];
      } else {
        this.#close("else");
        const rest = this.#list();
        if (rest.end === undefined) this.#fail("unexpected EOF");
        if (rest.end === "else") this.#fail("expected end; found {{else}}");
        otherwise = rest.nodes;
      }
    }
    this.#variables = scope;
    this.#depth--;
    return { kind, pipe, body, otherwise };
  }

  #pipeline(context: string, end: "close" | ")"): Pipe {
    const { at } = this.#skipSpace();
    const { variables, isAssignment } = this.#declaration(context);
    const commands: Command[] = [];
    for (;;) {
      const token = this.#skipSpace();
      if (token.kind === end) {
        this.#take();
        if (commands.length === 0) this.#fail(`missing value for ${context}`, token);
        const idle = commands.findIndex(({ operands: [first] }, i) => i > 0 && ["dot", "nil", "literal"].includes(first?.kind ?? ""));
        if (idle > 0) this.#fail(`non executable command in pipeline stage ${idle + 1}`, token);
        return { kind: "pipe", at, variables, isAssignment, commands };
      }
      if (["literal", "field", "variable", "identifier", "string", "number", "char", "dot", "("].includes(token.kind))
        commands.push(this.#command());
      else this.#unexpected(token, context);
    }
  }

  #declaration(context: string): { readonly variables: readonly string[]; readonly isAssignment: boolean } {
    const start = this.#next;
    const variables: string[] = [];
    while (this.#skipSpace().kind === "variable") {
      const token = this.#take();
      const next = this.#skipSpace();
      if (next.kind === ":=" || next.kind === "=") {
        this.#take();
        variables.push(token.text);
        if (next.kind === ":=") this.#variables.push(...variables);
        else for (const name of variables) this.#check(name, token);
        return { variables, isAssignment: next.kind === "=" };
      }
      if (next.kind !== "," || context !== "range" || variables.length > 0) break;
      this.#take();
      variables.push(token.text);
    }
    this.#next = start;
    return { variables: [], isAssignment: false };
  }

  #check(name: string, token: Token): void {
    if (!this.#variables.includes(name)) this.#fail(`undefined variable ${JSON.stringify(name)}`, token);
  }

  #command(): Command {
    const { at } = this.#peek();
    const operands: Operand[] = [];
    for (;;) {
      this.#skipSpace();
      const operand = this.#operand();
      if (operand !== undefined) operands.push(operand);
      const token = this.#peek();
      if (token.kind === "space") {
        this.#skipSpace();
        const after = this.#peek();
        if (after.kind === "close" || after.kind === ")") break;
        if (after.kind === "pipe") continue;
        continue;
      }
      if (token.kind === "pipe") {
        this.#take();
        break;
      }
      if (token.kind === "close" || token.kind === ")") break;
      this.#unexpected(token, "operand");
    }
    if (operands.length === 0) this.#fail("empty command");
    return { at, operands };
  }

  #operand(): Operand | undefined {
    const term = this.#term();
    if (term === undefined) return undefined;
    const first = this.#peek();
    if (first.kind !== "field") return term;
    const names: string[] = [];
    while (this.#peek().kind === "field") names.push(this.#take().text.slice(1));
    switch (term.kind) {
      case "field":
        return { kind: "field", at: first.at, names: [...term.names, ...names] };
      case "variable":
        return { kind: "variable", at: first.at, name: term.name, names };
      case "pipe":
        return { kind: "chain", at: first.at, pipe: term, names };
      case "literal":
      case "nil":
      case "dot":
        return this.#unexpected(first, "operand");
      default:
        return {
          kind: "chain",
          at: first.at,
          pipe: { kind: "pipe", at: term.at, variables: [], isAssignment: false, commands: [{ at: term.at, operands: [term] }] },
          names,
        };
    }
  }

  #term(): Operand | undefined {
    const token = this.#peek();
    const { at, text } = token;
    switch (token.kind) {
      case "identifier":
        this.#take();
        if (text === "true" || text === "false") return { kind: "literal", at, value: text === "true", text };
        if (text === "nil") return { kind: "nil", at };
        if (!this.#functions.has(text)) this.#fail(`function ${JSON.stringify(text)} not defined`, token);
        return { kind: "function", at, name: text };
      case "dot":
        this.#take();
        return { kind: "dot", at };
      case "field":
        this.#take();
        return { kind: "field", at, names: [text.slice(1)] };
      case "variable":
        this.#take();
        this.#check(text, token);
        return { kind: "variable", at, name: text, names: [] };
      case "string":
        this.#take();
        return { kind: "literal", at, value: unquote(text), text };
      case "char": {
        this.#take();
        const [char = "", ...more] = unquote(text);
        if (more.length > 0) this.#fail(`malformed character constant: ${text}`, token);
        return { kind: "literal", at, value: char.codePointAt(0) ?? 0, text };
      }
      case "number":
        this.#take();
        return { kind: "literal", at, value: Number(text.replaceAll("_", "")), text };
      case "(": {
        this.#take();
        if (++this.#depth > DEPTH_MAX) this.#fail("max expression depth exceeded", token);
        const pipe = this.#pipeline("parenthesized pipeline", ")");
        this.#depth--;
        return pipe;
      }
      default:
        return undefined;
    }
  }
}
