import type { Document, Node } from "yaml";
import { DhowError } from "../../lib/mod.ts";

/** One value as it is written: `0666` is a number for a field that holds one, and text for another. */
export interface Scalar {
  readonly text: string;
  /** Text and nothing else. */
  readonly isQuoted: boolean;
}

/** A document whose scalars have no types yet: what they are, the fields decide. */
export type Tree = Scalar | readonly Tree[] | ReadonlyMap<string, Tree> | null;

export function isScalar(tree: Tree): tree is Scalar {
  return tree !== null && "text" in tree;
}

/** Far more than any document has: an alias may stand for aliases, and for what holds it. */
const MAX_NODES = 50_000;
const MAX_DEPTH = 50;
const NULLS: ReadonlySet<string> = new Set(["", "~", "null", "Null", "NULL"]);

/** Reads JSON or YAML; null when there is nothing in it. @throws invalid */
export async function parseTree(text: string): Promise<Tree> {
  const json = tryJson(text);
  return json === undefined ? parseYaml(text) : json;
}

/** Undefined for what is no JSON: it may be YAML in JSON's brackets. */
function tryJson(text: string): Tree | undefined {
  if (!text.trimStart().startsWith("{")) return undefined;
  try {
    return fromJson(JSON.parse(text));
  } catch {
    return undefined;
  }
}

function fromJson(value: unknown): Tree {
  if (value === null || value === undefined) return null;
  if (Array.isArray(value)) return value.map(fromJson);
  if (typeof value === "object") return new Map(Object.entries(value).map(([key, item]) => [key, fromJson(item)]));
  return { text: String(value), isQuoted: typeof value === "string" };
}

async function parseYaml(text: string): Promise<Tree> {
  // loaded in 20 ms, when the first file is there
  const yaml = await import("yaml");
  const documents = yaml.parseAllDocuments(text, { schema: "failsafe" });
  // as in Go's, what follows the first document is not looked at
  const first = "empty" in documents ? undefined : documents[0];
  const error = first?.errors[0];
  if (error !== undefined) throw new DhowError("invalid", `error converting YAML to JSON: yaml: ${error.message.split("\n", 1)[0]}`);
  if (!first?.contents) return null;
  return convert(first.contents, { yaml, document: first, nodes: 0 }, 0);
}

interface Walk {
  readonly yaml: typeof import("yaml");
  readonly document: Document;
  nodes: number;
}

function convert(node: unknown, walk: Walk, depth: number): Tree {
  const { yaml, document } = walk;
  if (++walk.nodes > MAX_NODES || depth > MAX_DEPTH)
    throw new DhowError("invalid", "error converting YAML to JSON: yaml: document contains excessive aliasing");
  if (!yaml.isNode(node)) return null;
  if (yaml.isAlias(node)) return convert(node.resolve(document), walk, depth + 1);
  if (yaml.isSeq(node)) return node.items.map((item) => convert(item, walk, depth + 1));
  if (yaml.isMap(node)) return new Map(node.items.map(({ key, value }) => [keyText(key, walk, depth), convert(value, walk, depth + 1)]));
  return scalar(node, walk);
}

function scalar(node: Node, { yaml }: Walk): Tree {
  if (!yaml.isScalar(node)) return null;
  const isQuoted = node.type !== "PLAIN";
  const text = String(node.value);
  return !isQuoted && NULLS.has(text) ? null : { text, isQuoted };
}

function keyText(key: unknown, walk: Walk, depth: number): string {
  const tree = convert(key, walk, depth + 1);
  return tree !== null && isScalar(tree) ? tree.text : "";
}
