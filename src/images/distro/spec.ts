import { existsSync, readFileSync } from "node:fs";
import { DhowError } from "../../lib/mod.ts";
import { familiarString, type Reference } from "../../spec/reference.ts";

/** What to make of the distribution's packages. */
export type DistroSpec =
  | { readonly kind: "busybox" }
  /** What Testcontainers starts beside its containers; the engine itself does its work. */
  | { readonly kind: "reaper" }
  | { readonly kind: "system"; readonly distro: "debian" | "ubuntu"; readonly suite: string; readonly isSlim: boolean };

const REAPER = "testcontainers/ryuk";
const DISTRO_INFO = "/usr/share/distro-info";
const SUITE = /^[a-z][a-z0-9.-]*$/;
const SLIM = "-slim";

/** Whether a reference names an image that the engine makes itself: from packages, or the one that Testcontainers asks for. */
export function isDistroReference(reference: Reference): boolean {
  return reference.domain === "docker.io" && (reference.path.startsWith("distro/") || reference.path === REAPER);
}

/** The code name of a release number (`12` → bookworm), from the distribution's own table when it is installed. */
function codeName(distro: string, version: string): string | undefined {
  const table = `${DISTRO_INFO}/${distro}.csv`;
  if (!existsSync(table)) return undefined;
  for (const line of readFileSync(table, "utf8").split("\n")) {
    const [number = "", , series] = line.split(",");
    if (number.replace(/ LTS$/, "") === version) return series;
  }
  return undefined;
}

/** The `ID` and `VERSION_CODENAME` of the machine's own distribution; empty where it has none. */
export function hostRelease(): { readonly id: string; readonly codename: string } {
  const file = ["/etc/os-release", "/usr/lib/os-release"].find(existsSync);
  const text = file === undefined ? "" : readFileSync(file, "utf8");
  const field = (name: string): string => new RegExp(`^${name}="?([^"\n]*)"?$`, "m").exec(text)?.[1] ?? "";
  return { id: field("ID"), codename: field("VERSION_CODENAME") };
}

function suiteOf(distro: "debian" | "ubuntu", tag: string): string {
  if (tag === "latest") {
    const host = hostRelease();
    if (host.id === distro && host.codename !== "") return host.codename;
    return distro === "debian" ? "stable" : "noble";
  }
  return /^\d/.test(tag) ? (codeName(distro, tag) ?? tag) : tag;
}

/**
 * What a `distro/…` reference asks for. Known: `distro/busybox`, `distro/debian:<suite>[-slim]`, `distro/ubuntu:<suite>`; the suite is a code
 * name or a release number, `latest` is the machine's own release.
 * @throws notFound for any other
 */
export function parseDistroSpec(reference: Reference): DistroSpec {
  const tag = reference.tag ?? "latest";
  const unknown = (): DhowError =>
    new DhowError(
      "notFound",
      `No such image: ${familiarString(reference)} (from packages there are distro/busybox, distro/debian:<suite>[-slim] and distro/ubuntu:<suite>)`,
    );
  if (reference.digest !== null) throw unknown();
  if (reference.path === REAPER) return { kind: "reaper" };
  const name = reference.path.slice("distro/".length);
  if (name === "busybox" && tag === "latest") return { kind: "busybox" };
  if (name !== "debian" && name !== "ubuntu") throw unknown();
  const isSlim = tag.endsWith(SLIM) || tag === "slim";
  const bare = tag === "slim" ? "latest" : isSlim ? tag.slice(0, -SLIM.length) : tag;
  const suite = suiteOf(name, bare);
  if (!SUITE.test(suite)) throw unknown();
  return { kind: "system", distro: name, suite, isSlim };
}
