/** How a registry wants to be asked: `Basic realm="…"`, `Bearer realm="…",service="…"`. */
export interface Challenge {
  /** In lower case. */
  readonly scheme: string;
  readonly parameters: Readonly<Record<string, string>>;
}

const TOKEN = /^[!#$%&'*+.^`|~\w-]+/;
const PARAMETER = /^[\s,]*([!#$%&'*+.^`|~\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([!#$%&'*+.^`|~\w-]+))/;

/** The challenges of a `WWW-Authenticate` header; what is none is left out. @see RFC 7235 section 4.1 */
export function parseChallenges(header: string): Challenge[] {
  const found: Challenge[] = [];
  let rest = header;
  for (;;) {
    rest = rest.replace(/^[\s,]+/, "");
    const scheme = TOKEN.exec(rest)?.[0];
    if (scheme === undefined) return found;
    rest = rest.slice(scheme.length);
    const parameters: Record<string, string> = {};
    for (let match = PARAMETER.exec(rest); match; match = PARAMETER.exec(rest)) {
      const [all, name = "", quoted, bare = ""] = match;
      parameters[name.toLowerCase()] = quoted?.replace(/\\(.)/g, "$1") ?? bare;
      rest = rest.slice(all.length);
    }
    found.push({ scheme: scheme.toLowerCase(), parameters });
  }
}
