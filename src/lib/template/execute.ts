import type { FunctionSpec } from "./functions.ts";
import { type Command, type Node, type Operand, type Pipe, TemplateError, type Tree } from "./syntax.ts";
import { isTrue, Nil, Struct, toText } from "./value.ts";

export interface ExecuteOptions {
  readonly name: string;
  readonly source: string;
  readonly functions: Readonly<Record<string, FunctionSpec>>;
  /** A key that a map doesn't have is an error, instead of "<no value>". */
  readonly isMissingKeyError: boolean;
  /** Fields that are maps even so: a key that they lack is "<no value>". */
  readonly maps: ReadonlySet<string>;
}

interface Variable {
  readonly name: string;
  value: unknown;
}

/** No list is as long; what counts further would not end. */
const RANGE_MAX = 10_000_000;

class Break extends Error {}
class Continue extends Error {}

/** How often templates may stand in one another: well within the stack. */
const DEPTH_MAX = 1000;

/** Runs a template on `data`. @throws TemplateError in Go's words */
export function execute({ nodes, defined }: Tree, data: unknown, options: ExecuteOptions): string {
  const run = new Execution(options, data, defined);
  run.walk(nodes, data);
  return run.text();
}

class Execution {
  readonly #options: ExecuteOptions;
  readonly #out: string[] = [];
  readonly #defined: Tree["defined"];
  #variables: Variable[];
  #depth = 0;

  constructor(options: ExecuteOptions, data: unknown, defined: Tree["defined"]) {
    this.#options = options;
    this.#defined = defined;
    this.#variables = [{ name: "$", value: data }];
  }

  text(): string {
    return this.#out.join("");
  }

  /** Where a failing piece stands, and its text: `1:2: executing "" at <.Foo>`. */
  #fail(at: number, shown: string, message: string): never {
    const { name, source } = this.#options;
    const before = source.slice(0, at);
    const line = before.split("\n").length;
    const column = Buffer.byteLength(before.slice(before.lastIndexOf("\n") + 1));
    throw new TemplateError(`template: ${name}:${line}:${column}: executing ${JSON.stringify(name)} at <${shown}>: ${message}`);
  }

  walk(nodes: readonly Node[], dot: unknown): void {
    for (const node of nodes) {
      switch (node.kind) {
        case "text":
          this.#out.push(node.text);
          break;
        case "action": {
          const value = this.#pipe(node.pipe, dot);
          if (node.pipe.variables.length === 0) this.#out.push(toText(value));
          break;
        }
        case "if":
        case "with": {
          const scope = this.#variables.length;
          const value = this.#pipe(node.pipe, dot);
          if (isTrue(value)) this.walk(node.body, node.kind === "with" ? value : dot);
          else this.walk(node.otherwise, dot);
          this.#variables.length = scope;
          break;
        }
        case "range":
          this.#range(node, dot);
          break;
        case "template":
          this.#template(node, dot);
          break;
        case "break":
          throw new Break();
        case "continue":
          throw new Continue();
        default:
          node satisfies never;
      }
    }
  }

  #template({ at, name, pipe }: Node & { readonly kind: "template" }, dot: unknown): void {
    const nodes = this.#defined.get(name);
    const shown = `{{template ${JSON.stringify(name)}${pipe === undefined ? "" : ` ${pipeText(pipe)}`}}}`;
    if (nodes === undefined) this.#fail(at, shown, `template ${JSON.stringify(name)} not defined`);
    if (this.#depth >= DEPTH_MAX) this.#fail(at, shown, `exceeded maximum template depth (${DEPTH_MAX})`);
    const value = pipe === undefined ? undefined : this.#pipe(pipe, dot);
    const variables = this.#variables;
    this.#variables = [{ name: "$", value }];
    this.#depth++;
    this.walk(nodes, value);
    this.#depth--;
    this.#variables = variables;
  }

  #range(node: Node & { readonly kind: "range" | "if" | "with" }, dot: unknown): void {
    const scope = this.#variables.length;
    const value = this.#pipe({ ...node.pipe, variables: [] }, dot);
    const entries = this.#entries(value, node.pipe);
    const { variables, isAssignment } = node.pipe;
    for (const [key, item] of entries) {
      const mark = this.#variables.length;
      const values = variables.length === 2 ? [key, item] : [item];
      variables.forEach((name, i) => {
        this.#assign(name, values[i], isAssignment);
      });
      try {
        this.walk(node.body, item);
      } catch (error) {
        if (error instanceof Break) break;
        if (!(error instanceof Continue)) throw error;
      } finally {
        this.#variables.length = mark;
      }
    }
    if (entries.length === 0) this.walk(node.otherwise, dot);
    this.#variables.length = scope;
  }

  #entries(value: unknown, pipe: Pipe): readonly (readonly [unknown, unknown])[] {
    if (value === null || value === undefined || value instanceof Nil) return [];
    if (Array.isArray(value)) return value.map((item, i) => [i, item]);
    if (typeof value === "number" && pipe.variables.length > 1)
      return this.#fail(pipe.at, pipeText(pipe), `can't use ${value} to iterate over more than one variable`);
    if (typeof value === "number" && value <= RANGE_MAX) return Array.from({ length: Math.max(0, value) }, (_, i) => [i, i]);
    if (typeof value === "object" && !(value instanceof Struct)) return Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    return this.#fail(pipe.at, pipeText(pipe), `range can't iterate over ${toText(value)}`);
  }

  #assign(name: string, value: unknown, isAssignment: boolean): void {
    const existing = isAssignment ? this.#variables.findLast((variable) => variable.name === name) : undefined;
    if (existing) existing.value = value;
    else this.#variables.push({ name, value });
  }

  #pipe(pipe: Pipe, dot: unknown): unknown {
    let value: unknown;
    pipe.commands.forEach((command, i) => {
      value = this.#command(command, dot, i > 0, value);
    });
    for (const name of pipe.variables) this.#assign(name, value, pipe.isAssignment);
    return value;
  }

  #command(command: Command, dot: unknown, hasFinal: boolean, final: unknown): unknown {
    const [first, ...rest] = command.operands;
    if (first === undefined) return undefined;
    if (first.kind === "function") return this.#call(first, rest, dot, hasFinal, final);
    if (first.kind === "field" || first.kind === "variable" || first.kind === "chain") {
      const args = () => [...rest.map((operand) => this.#operand(operand, dot)), ...(hasFinal ? [final] : [])];
      return this.#access(first, dot, rest.length > 0 || hasFinal ? args : undefined);
    }
    if (rest.length > 0 || hasFinal) this.#fail(first.at, operandText(first), `can't give argument to non-function ${operandText(first)}`);
    return this.#operand(first, dot);
  }

  #call(
    operand: Operand & { readonly kind: "function" },
    rest: readonly Operand[],
    dot: unknown,
    hasFinal: boolean,
    final: unknown,
  ): unknown {
    const { name, at } = operand;
    const spec = this.#options.functions[name];
    if (spec === undefined) return this.#fail(at, name, `${JSON.stringify(name)} is not a defined function`);
    const count = rest.length + (hasFinal ? 1 : 0);
    if (count < spec.min || count > spec.max) {
      const want = spec.max === spec.min ? `${spec.min}` : `at least ${spec.min}`;
      this.#fail(at, name, `wrong number of args for ${name}: want ${want} got ${count}`);
    }
    if (name === "and" || name === "or") {
      let value: unknown;
      for (const next of rest) {
        value = this.#operand(next, dot);
        if (isTrue(value) === (name === "or")) return value;
      }
      return hasFinal ? final : value;
    }
    const args = rest.map((next) => this.#operand(next, dot));
    if (hasFinal) args.push(final);
    for (const i of spec.strings ?? []) this.#checkString(operand, rest[i], args[i], i < args.length);
    try {
      return spec.call(...args);
    } catch (error) {
      if (error instanceof TemplateError) throw error;
      const shown = [name, ...rest.map(operandText)].join(" ");
      return this.#fail(at, shown, `error calling ${name}: ${(error as Error).message}`);
    }
  }

  /** What a function's argument must be; the one that comes through a pipe is told at the function's name. */
  #checkString(call: Operand & { readonly kind: "function" }, operand: Operand | undefined, value: unknown, isGiven: boolean): void {
    if (!isGiven || typeof value === "string") return;
    if (operand?.kind === "nil") this.#fail(operand.at, "nil", "cannot assign nil to string");
    if (operand?.kind === "literal") this.#fail(operand.at, operand.text, `expected string; found ${operand.text}`);
    // a value of any form: the document doesn't say, or is a row's own
    if (typeof value !== "number" && typeof value !== "boolean" && !Array.isArray(value)) return;
    const type = Array.isArray(value) ? "[]interface {}" : typeof value === "boolean" ? "bool" : this.#numberType(operand);
    const [at, shown] = operand === undefined ? [call.at, call.name] : [operand.at, operandText(operand)];
    this.#fail(at, shown, `wrong type for value; expected string; got ${type}`);
  }

  /** Numbers of a document are what its JSON says; those that functions give are Go's own. */
  #numberType(operand: Operand | undefined): string {
    return operand?.kind === "field" || operand?.kind === "variable" ? "json.Number" : "int";
  }

  #operand(operand: Operand, dot: unknown): unknown {
    switch (operand.kind) {
      case "dot":
        return dot;
      case "nil":
        return null;
      case "literal":
        return operand.value;
      case "pipe":
        return this.#pipe(operand, dot);
      case "function":
        return this.#call(operand, [], dot, false, undefined);
      default:
        return this.#access(operand, dot, undefined);
    }
  }

  #access(
    operand: Operand & { readonly kind: "field" | "variable" | "chain" },
    dot: unknown,
    args: (() => readonly unknown[]) | undefined,
  ): unknown {
    let value = dot;
    if (operand.kind === "variable") {
      value = this.#variables.findLast((variable) => variable.name === operand.name)?.value;
      if (operand.names.length === 0 && args) this.#fail(operand.at, operand.name, `can't give argument to non-function ${operand.name}`);
    }
    if (operand.kind === "chain") value = this.#pipe(operand.pipe, dot);
    operand.names.forEach((name, i) => {
      const isLast = i === operand.names.length - 1;
      const isMap = this.#options.maps.has(operand.names[i - 1] ?? "");
      value = isMap && isLast && lacks(value, name) ? undefined : this.#field(operand, value, name, isLast ? args : undefined);
    });
    return value;
  }

  #field(operand: Operand, value: unknown, name: string, args: (() => readonly unknown[]) | undefined): unknown {
    const shown = operandText(operand);
    if (value instanceof Nil && value.text === "map[]") return undefined;
    if (value === undefined || value === null || value instanceof Nil) {
      if (!this.#options.isMissingKeyError && value === undefined) return undefined;
      return this.#fail(operand.at, shown, `nil pointer evaluating interface {}.${name}`);
    }
    if (value instanceof Struct) {
      const method = value.methods[name];
      if (method !== undefined) {
        const given = args?.() ?? [];
        if (given.length !== method.length && method.length > 0)
          this.#fail(operand.at, shown, `wrong number of args for ${name}: want ${method.length} got ${given.length}`);
        return method(...given);
      }
      if (!Object.hasOwn(value.fields, name) && value.isOpen) return undefined;
      if (!Object.hasOwn(value.fields, name)) this.#fail(operand.at, shown, `can't evaluate field ${name} in type ${value.typeName}`);
      if (args) this.#fail(operand.at, shown, `wrong number of args for ${name}: want 0 got ${args().length}`);
      return value.get(name);
    }
    if (typeof value !== "object" || Array.isArray(value)) {
      const type = Array.isArray(value)
        ? "[]interface {}"
        : typeof value === "string"
          ? "string"
          : typeof value === "number"
            ? "json.Number"
            : "bool";
      return this.#fail(operand.at, shown, `can't evaluate field ${name} in type ${Array.isArray(value) ? type : "interface {}"}`);
    }
    if (Object.hasOwn(value, name)) {
      if (args) this.#fail(operand.at, shown, `${name} is not a method but has arguments`);
      return (value as Record<string, unknown>)[name];
    }
    if (this.#options.isMissingKeyError) this.#fail(operand.at, shown, `map has no entry for key ${JSON.stringify(name)}`);
    return undefined;
  }
}

function lacks(value: unknown, name: string): boolean {
  if (value === null || value === undefined || value instanceof Nil) return true;
  return typeof value === "object" && !(value instanceof Struct) && !Array.isArray(value) && !Object.hasOwn(value, name);
}

function operandText(operand: Operand): string {
  switch (operand.kind) {
    case "dot":
      return ".";
    case "nil":
      return "nil";
    case "literal":
      return operand.text;
    case "field":
      return operand.names.map((name) => `.${name}`).join("");
    case "variable":
      return operand.name + operand.names.map((name) => `.${name}`).join("");
    case "function":
      return operand.name;
    case "chain":
      return `(${pipeText(operand.pipe)})${operand.names.map((name) => `.${name}`).join("")}`;
    case "pipe":
      return `(${pipeText(operand)})`;
    default: {
      const never: never = operand;
      return never;
    }
  }
}

function pipeText(pipe: Pipe): string {
  return pipe.commands.map(({ operands }) => operands.map(operandText).join(" ")).join(" | ");
}
