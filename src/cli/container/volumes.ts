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

/** Checks the form of a `-v`. @see ParseVolume in cli/compose/loader/volume.go of docker/cli v28 @throws Error in docker's words */
function checkVolume(text: string): void {
  if (text === "") throw new Error("invalid empty volume spec");
  if (text.length <= 2) return;
  // the colon of a Windows drive is none
  const sections = text.replaceAll(/(^|:)(\p{L}):/gu, "$1$2/").split(":");
  sections.forEach((section, index) => {
    if (section === "") throw new Error(`invalid spec: ${text}: empty section between colons`);
    if (index === 2 && sections.length > 3) throw new Error(`invalid spec: ${text}: too many colons`);
  });
}

/** `-v` and `--tmpfs` in the API's form. @throws Error in docker's words */
export function parseVolumes(volumes: readonly string[], tmpfs: readonly string[]): Volumes {
  const anonymous: Record<string, object> = {};
  const binds: string[] = [];
  for (const text of volumes) {
    checkVolume(text);
    if (text.includes(":")) binds.push(bind(text));
    else anonymous[text] = {};
  }
  const mounts = tmpfs.map((text): readonly [string, string] => {
    const at = text.indexOf(":");
    return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
  });
  return { binds, anonymous, tmpfs: Object.fromEntries(mounts) };
}
