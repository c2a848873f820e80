/**
 * A volume driver in docker's plug-in protocol: `driver.ts SOCKET DIRECTORY`. Its volumes are directories below DIRECTORY, what it was asked is
 * in DIRECTORY/calls; a method that a file DIRECTORY/hang-METHOD or fail-METHOD names never answers, or answers with an error.
 */
import { appendFileSync, existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";

const [socket = "", root = ""] = process.argv.slice(2);
const path = (name: string): string => `${root}/volumes/${name}`;
mkdirSync(`${root}/volumes`, { recursive: true });

interface Body {
  readonly Name: string;
  readonly ID?: string;
  readonly Opts?: Readonly<Record<string, string>>;
}

const volume = (name: string) => ({ Name: name, Mountpoint: path(name), CreatedAt: "2026-01-02T03:04:05Z" });
const missing = { Err: "no such directory" };
const METHODS: Readonly<Record<string, (body: Body) => object>> = {
  "Plugin.Activate": () => ({ Implements: ["VolumeDriver"] }),
  "VolumeDriver.Capabilities": () => ({ Capabilities: { Scope: "global" } }),
  "VolumeDriver.Create": ({ Name, Opts }) => {
    if (Opts?.["bad"]) return { Err: `unknown option bad=${Opts["bad"]}` };
    mkdirSync(path(Name));
    return {};
  },
  "VolumeDriver.Remove": ({ Name }) => {
    rmSync(path(Name), { recursive: true });
    return {};
  },
  "VolumeDriver.Get": ({ Name }) => (existsSync(path(Name)) ? { Volume: { ...volume(Name), Status: { color: "blue" } } } : missing),
  "VolumeDriver.List": () => ({ Volumes: readdirSync(`${root}/volumes`).map(volume) }),
  "VolumeDriver.Path": ({ Name }) => ({ Mountpoint: path(Name) }),
  "VolumeDriver.Mount": ({ Name }) => (existsSync(path(Name)) ? { Mountpoint: path(Name) } : missing),
  "VolumeDriver.Unmount": () => ({}),
};

Bun.serve({
  unix: socket,
  fetch: async (request) => {
    const method = new URL(request.url).pathname.slice(1);
    const text = await request.text();
    const body = (text === "" ? {} : JSON.parse(text)) as Body;
    const name = method.replace("VolumeDriver.", "");
    if (name !== "List" && name !== "Capabilities")
      appendFileSync(`${root}/calls`, `${[name, body.Name, body.ID].filter(Boolean).join(" ")}\n`);
    if (existsSync(`${root}/hang-${name}`)) return new Promise<Response>(() => {});
    if (existsSync(`${root}/fail-${name}`)) return Response.json({ Err: `${name} is out of order` }, { status: 500 });
    return Response.json(METHODS[method]?.(body) ?? { Err: "what?" });
  },
});
process.stdout.write("ready\n");
