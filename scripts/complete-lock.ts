/**
 * Completes package-lock.json after an `npm install`: adds an entry for every optional platform package that npm left out because
 * the registry in use doesn't carry it. Without the entry `npm ci` of npm 11 refuses the lock file; with it, npm sees that the
 * package is for another platform and never asks for it.
 *
 * Run: bun scripts/complete-lock.ts
 */
import { readFileSync, writeFileSync } from "node:fs";

interface LockEntry {
  readonly version?: string;
  readonly dev?: boolean;
  readonly license?: string;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const path = new URL("../package-lock.json", import.meta.url);
const lock: { packages: Record<string, LockEntry & Record<string, unknown>> } = JSON.parse(readFileSync(path, "utf8"));

for (const parent of Object.values(lock.packages)) {
  for (const [name, version] of Object.entries(parent.optionalDependencies ?? {})) {
    const key = `node_modules/${name}`;
    if (lock.packages[key] !== undefined) continue;
    const platform = /-(android|darwin|freebsd|linux|win32|windows)-(arm64|aarch64|x64)(-musl)?$/.exec(name);
    const os = platform?.[1];
    const cpu = platform?.[2];
    if (os === undefined || cpu === undefined) throw new Error(`read the platform from the package name "${name}": no such ending`);
    lock.packages[key] = {
      version,
      cpu: [cpu === "aarch64" ? "arm64" : cpu],
      ...(parent.dev === true ? { dev: true } : {}),
      ...(platform?.[3] === undefined ? {} : { libc: ["musl"] }),
      ...(parent.license === undefined ? {} : { license: parent.license }),
      optional: true,
      os: [os === "windows" ? "win32" : os],
    };
    console.log(`added ${name} ${version}`);
  }
}
lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)));
writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
