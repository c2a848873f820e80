interface Node {
  readonly below: Map<string, Node>;
  isIn: boolean;
}

/** Paths (relative, cleaned) that also know what is below a path; every question costs as much as the path has names. */
export class PathSet {
  readonly #root: Node = { below: new Map(), isIn: false };

  add(path: string): void {
    let node = this.#root;
    for (const name of path.split("/")) {
      const next = node.below.get(name) ?? { below: new Map(), isIn: false };
      node.below.set(name, next);
      node = next;
    }
    node.isIn = true;
  }

  has(path: string): boolean {
    return this.#find(path)?.isIn ?? false;
  }

  /** Whether the path is in the set, or one below it. */
  hasWithin(path: string): boolean {
    return this.#find(path) !== undefined;
  }

  /** Takes out the path and all below it. */
  deleteWithin(path: string): void {
    const way: (readonly [Node, string])[] = [];
    let node = this.#root;
    for (const name of path.split("/")) {
      const next = node.below.get(name);
      if (next === undefined) return;
      way.push([node, name]);
      node = next;
    }
    // a node is there as long as something is in or below it
    for (const [parent, name] of way.reverse()) {
      parent.below.delete(name);
      if (parent.isIn || parent.below.size > 0) return;
    }
  }

  #find(path: string): Node | undefined {
    let node: Node | undefined = this.#root;
    for (const name of path.split("/")) {
      node = node.below.get(name);
      if (node === undefined) return undefined;
    }
    return node;
  }
}
