import { existsSync } from "node:fs";
import { join } from "node:path";
import { DhowError } from "../../lib/mod.ts";
import type { Report } from "../progress.ts";
import { aptProxyEnvironment, formatSource, hostAptSources, sourcesForSuite } from "./apt-sources.ts";
import { PackageProgress } from "./package-progress.ts";
import type { DistroRootfs } from "./rootfs.ts";
import { type DistroSpec, hostRelease } from "./spec.ts";
import { findProgram, runTool, Tool, type ToolOptions } from "./tool.ts";

export type SystemSpec = Extract<DistroSpec, { kind: "system" }>;

const KEYRINGS: Readonly<Record<SystemSpec["distro"], string>> = {
  debian: "/usr/share/keyrings/debian-archive-keyring.gpg",
  ubuntu: "/usr/share/keyrings/ubuntu-archive-keyring.gpg",
};
const KEYRING_PACKAGES: Readonly<Record<SystemSpec["distro"], string>> = { debian: "debian-archive-keyring", ubuntu: "ubuntu-keyring" };
/** What Debian's slim images leave out; licences stay. */
const SLIM_EXCLUDED = [
  "/usr/share/doc/*",
  "/usr/share/info/*",
  "/usr/share/groff/*",
  "/usr/share/linda/*",
  "/usr/share/lintian/*",
  "/usr/share/locale/*",
  "/usr/share/man/*",
];
const SLIM_INCLUDED = ["/usr/share/doc/*/copyright", "/usr/share/locale/locale.alias"];
const PACKAGE_NAME = /^[a-z0-9][a-z0-9.+-]*(:[a-z0-9]+)?$/;
const DAY_MS = 86_400_000;

interface Plan {
  readonly spec: SystemSpec;
  readonly include: readonly string[];
  /** Lines of sources.list; empty = the tool's own default. */
  readonly sources: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

function plan(spec: SystemSpec, include: readonly string[], madeAt: Date): Plan {
  for (const name of include) {
    if (!PACKAGE_NAME.test(name)) throw new DhowError("invalid", `invalid package name ${JSON.stringify(name)}`);
  }
  const host = hostRelease();
  const found = host.id === spec.distro ? sourcesForSuite(hostAptSources(), host.codename, spec.suite) : [];
  const isMainThere = found.some((source) => source.suite === spec.suite);
  const components = (own: readonly string[]): readonly string[] => (spec.distro === "debian" ? ["main"] : own);
  const keyring = KEYRINGS[spec.distro];
  if (!isMainThere && !existsSync(keyring)) {
    throw new DhowError(
      "unavailable",
      `make distro/${spec.distro}:${spec.suite}: the keys of its archive are missing; install the package ${KEYRING_PACKAGES[spec.distro]}`,
    );
  }
  return {
    spec,
    include,
    sources: isMainThere ? found.map((source) => formatSource(source, components(source.components))) : [],
    environment: { ...aptProxyEnvironment(), SOURCE_DATE_EPOCH: String(madeAt.getTime() / 1000) },
  };
}

/** Mounts that the tools make end with their own mount namespace, however they end. */
function inOwnMounts(command: readonly string[]): string[] {
  const unshare = findProgram("unshare");
  return unshare === undefined ? [...command] : [unshare, "--mount", "--propagation", "private", "--", ...command];
}

function mmdebstrapCommand(program: string, { spec, include, sources }: Plan): string[] {
  const slim = [
    ...SLIM_EXCLUDED.map((glob) => `--dpkgopt=path-exclude=${glob}`),
    ...SLIM_INCLUDED.map((glob) => `--dpkgopt=path-include=${glob}`),
  ];
  return inOwnMounts([
    program,
    "--mode=root",
    "--variant=minbase",
    "--format=tar",
    "--verbose",
    "--skip=output/dev",
    `--aptopt=Acquire::Languages "none"`,
    ...(spec.isSlim ? slim : []),
    ...(include.length > 0 ? [`--include=${include.join(",")}`] : []),
    // Machines must not share an id, and nothing may differ between two runs.
    `--customize-hook=rm -f "$1"/var/lib/dbus/machine-id "$1"/etc/hostname "$1"/etc/resolv.conf`,
    `--customize-hook=: > "$1"/etc/machine-id; find "$1"/var/log -type f -delete`,
    spec.suite,
    "-",
    ...sources,
  ]);
}

async function* debootstrapTar(program: string, planned: Plan, options: ToolOptions): AsyncGenerator<Uint8Array> {
  const { spec, include, sources } = planned;
  const tree = join(options.cwd, "rootfs");
  const mirror = sources[0]?.replace(/^deb (\[[^\]]*\] )?/, "").split(" ")[0];
  const keyring = KEYRINGS[spec.distro];
  const command = [
    // It tells its progress on standard output.
    ...["sh", "-c", 'exec "$0" "$@" 1>&2', program],
    "--variant=minbase",
    ...(existsSync(keyring) ? [`--keyring=${keyring}`] : []),
    ...(include.length > 0 ? [`--include=${include.join(",")}`] : []),
    spec.suite,
    tree,
    ...(mirror === undefined ? [] : [mirror]),
  ];
  await runTool(inOwnMounts(command), options);
  const clean = [
    "rm -rf var/cache/apt/* var/lib/apt/lists/* var/cache/ldconfig/aux-cache dev/* etc/hostname etc/resolv.conf",
    "find var/log -type f -delete",
    ": > etc/machine-id",
    ...(sources.length > 0 ? ['printf "%s\\n" "$@" > etc/apt/sources.list'] : []),
    ...(spec.isSlim
      ? [
          "find usr/share/doc -type f ! -name copyright -delete",
          "rm -rf usr/share/man/* usr/share/info/* usr/share/locale/* usr/share/lintian",
        ]
      : []),
  ].join("; ");
  await runTool(["sh", "-ec", `cd "$0"; ${clean}`, tree, ...sources], options);
  const epoch = planned.environment["SOURCE_DATE_EPOCH"] ?? "0";
  await using tar = new Tool(
    [
      "tar",
      "-C",
      tree,
      "--sort=name",
      "--numeric-owner",
      "--xattrs",
      "--xattrs-include=*",
      `--mtime=@${epoch}`,
      "--clamp-mtime",
      "--format=pax",
      "--pax-option=delete=atime,delete=ctime,exthdr.name=%d/PaxHeaders/%f",
      "-c",
      ".",
    ],
    options,
  );
  yield* tar.output();
}

async function* mmdebstrapTar(program: string, planned: Plan, options: ToolOptions): AsyncGenerator<Uint8Array> {
  await using tool = new Tool(mmdebstrapCommand(program, planned), options);
  yield* tool.output();
}

/**
 * A minimal Debian or Ubuntu made of its packages by mmdebstrap or debootstrap, from the archives, with the keys and proxies that this
 * machine's apt is configured with. Two runs on one day with the same packages in the archive give the same bytes.
 * @throws unavailable when a tool or a keyring is missing (named with its package); invalid for a bad package name
 */
export function systemRootfs(spec: SystemSpec, include: readonly string[], report: Report, options: ToolOptions): DistroRootfs {
  const madeAt = new Date(Math.floor(Date.now() / DAY_MS) * DAY_MS);
  const planned = plan(spec, include, madeAt);
  const progress = new PackageProgress(report);
  const inner: ToolOptions = {
    ...options,
    environment: { ...options.environment, ...planned.environment },
    onLine: (line) => {
      progress.read(line);
      options.onLine(line);
    },
  };
  const mmdebstrap = findProgram("mmdebstrap");
  const debootstrap = findProgram("debootstrap");
  if (!findProgram("apt-get") && !debootstrap) {
    throw new DhowError(
      "unavailable",
      `make distro/${spec.distro}:${spec.suite}: neither apt-get nor debootstrap is here; install the package debootstrap`,
    );
  }
  if (!mmdebstrap && !debootstrap) {
    throw new DhowError("unavailable", `make distro/${spec.distro}:${spec.suite}: install the package mmdebstrap (or debootstrap)`);
  }
  const tar = mmdebstrap ? mmdebstrapTar(mmdebstrap, planned, inner) : debootstrapTar(debootstrap ?? "", planned, inner);
  const with_ = include.length > 0 ? ` --include=${include.join(",")}` : "";
  const madeBy = `# ${mmdebstrap ? "mmdebstrap" : "debootstrap"} --variant=minbase${with_} ${spec.suite}${spec.isSlim ? " # slim" : ""}`;
  return { tar, madeAt, command: ["bash"], madeBy };
}
