import { resolve } from "node:path";

export interface Volumes {
  readonly binds: readonly string[];
  /** Anonymous volumes: an empty object for each path. */
  readonly anonymous: Readonly<Record<string, object>>;
  /** tmpfs mounts: options by path. */
  readonly tmpfs: Readonly<Record<string, string>>;
}

/** A relative host path (`./x`) made absolute. */
function bind(text: string): string {
  const at = text.indexOf(":");
  const source = text.slice(0, at);
  return source.startsWith(".") ? `${resolve(source)}${text.slice(at)}` : text;
}

/** `-v` and `--tmpfs` in the API's form. */
export function parseVolumes(volumes: readonly string[], tmpfs: readonly string[]): Volumes {
  const anonymous: Record<string, object> = {};
  const binds: string[] = [];
  for (const text of volumes) {
    if (text.includes(":")) binds.push(bind(text));
    else anonymous[text] = {};
  }
  const mounts = tmpfs.map((text): readonly [string, string] => {
    const at = text.indexOf(":");
    return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
  });
  return { binds, anonymous, tmpfs: Object.fromEntries(mounts) };
}
