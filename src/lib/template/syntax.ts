/** What a template is made of, after Go's text/template/parse. `at` is the offset in the template's text that errors point to. */
export type Node =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "action"; readonly pipe: Pipe }
  | { readonly kind: "if" | "with" | "range"; readonly pipe: Pipe; readonly body: readonly Node[]; readonly otherwise: readonly Node[] }
  | { readonly kind: "break" | "continue" }
  /** `{{template "name" pipe}}`; without a pipe its dot is nil. */
  | { readonly kind: "template"; readonly at: number; readonly name: string; readonly pipe: Pipe | undefined };

/** A parsed text: its own nodes, and those of the templates that it defines. */
export interface Tree {
  readonly nodes: readonly Node[];
  readonly defined: ReadonlyMap<string, readonly Node[]>;
}

export interface Pipe {
  readonly kind: "pipe";
  readonly at: number;
  readonly variables: readonly string[];
  /** `$x = …` changes a variable, `$x := …` makes one. */
  readonly isAssignment: boolean;
  readonly commands: readonly Command[];
}

export interface Command {
  readonly at: number;
  readonly operands: readonly Operand[];
}

export type Operand =
  | { readonly kind: "dot"; readonly at: number }
  | { readonly kind: "nil"; readonly at: number }
  | { readonly kind: "literal"; readonly at: number; readonly value: string | number | boolean; readonly text: string }
  | { readonly kind: "field"; readonly at: number; readonly names: readonly string[] }
  | { readonly kind: "variable"; readonly at: number; readonly name: string; readonly names: readonly string[] }
  | { readonly kind: "function"; readonly at: number; readonly name: string }
  | { readonly kind: "chain"; readonly at: number; readonly pipe: Pipe; readonly names: readonly string[] }
  | Pipe;

/** A template that doesn't parse, or fails when it is run; in Go's words. */
export class TemplateError extends Error {}
