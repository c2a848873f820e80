/**
 * An application of three services on two networks, with aliases, health conditions and volumes, brought up and down by Debian's
 * docker-compose 1.29 and by docker compose v2.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Daemon, until } from "../e2e/daemon.ts";
import { debianClients, dockerCompose, pythonPath } from "./clients.ts";

/** `web` reaches `api`, `api` reaches `db` and passes its page on, `web` doesn't know `db`. */
const APPLICATION = `
services:
  db:
    image: busybox
    command: sh -c 'test -e /data/page || echo "page of the database" >/data/page; exec httpd -f -p 5432 -h /data'
    stop_grace_period: 0s
    volumes: ["data:/data"]
    networks:
      back:
        aliases: [store]
    healthcheck: {test: ["CMD", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:5432/page"], interval: 200ms, retries: 50}
  api:
    image: busybox
    command: sh -c 'mkdir /www && wget -q -O /www/page http://store:5432/page && exec httpd -f -p 80 -h /www'
    stop_grace_period: 0s
    depends_on:
      db: {condition: service_healthy}
    networks:
      back: {}
      front:
        aliases: [app, service]
    healthcheck: {test: ["CMD", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1/page"], interval: 200ms, retries: 50}
  web:
    image: busybox
    command: sh -c 'mkdir /www && wget -q -O /www/page http://app/page && exec httpd -f -p 8080 -h /www'
    stop_grace_period: 0s
    depends_on:
      api: {condition: service_healthy}
    ports: ["8080"]
    networks:
      front:
        ipv4_address: 10.213.7.77
    healthcheck: {test: ["CMD", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8080/page"], interval: 200ms, retries: 50}
networks:
  front:
    ipam:
      config: [{subnet: 10.213.7.0/24}]
  back:
    internal: true
    labels: {tier: back}
volumes:
  data: {}
`;

interface Client {
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly skipReason: string;
  /** Between the parts of a container's name. */
  readonly separator: string;
}

/** Python starts some fifteen times. */
const PATIENCE_MS = 150_000;
const isRoot = process.getuid?.() === 0;

function oldClient(): Client {
  const base = { separator: "_" };
  const debian = isRoot ? debianClients() : { skipReason: "needs root" };
  if ("skipReason" in debian) return { ...base, command: [], env: {}, skipReason: debian.skipReason };
  // else it asks for the newest API, of which it doesn't know what is gone: to make a container again it wants ContainerConfig
  const env = { PYTHONPATH: pythonPath(debian.dir), COMPOSE_API_VERSION: "1.44" };
  const command = ["/usr/bin/python3", join(debian.dir, "usr/bin/docker-compose"), "--ansi", "never"];
  return { ...base, command, env, skipReason: "" };
}

function newClient(): Client {
  const base = { separator: "-", env: {} };
  const found = isRoot ? dockerCompose() : { skipReason: "needs root" };
  if ("skipReason" in found) return { ...base, command: [], skipReason: found.skipReason };
  return { ...base, command: [found.program, "--ansi", "never", "--progress", "plain"], skipReason: "" };
}

let daemon: Daemon;

beforeAll(async () => {
  if (isRoot) daemon = await Daemon.start();
});

afterAll(async () => {
  if (isRoot) await daemon[Symbol.asyncDispose]();
});

describe.each([
  ["docker-compose 1.29", oldClient()],
  ["docker compose v2", newClient()],
] as const)("%s", (name, { command, env, skipReason, separator }) => {
  const project = `app${separator === "_" ? 1 : 2}`;
  const container = (service: string, number = 1): string => [project, service, number].join(separator);

  async function compose(...words: readonly string[]): Promise<string> {
    const child = Bun.spawn(["timeout", "--kill-after=5", "100", ...command, ...words], {
      cwd: join(daemon.dir, project),
      env: { PATH: process.env["PATH"] ?? "", HOME: daemon.dir, LANG: "C.UTF-8", DOCKER_HOST: daemon.host, ...env },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [stdout, stderr, exitCode] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    if (exitCode !== 0) throw new Error(`${name} ${words.join(" ")}: exit code ${exitCode}\n${stdout}${stderr}`);
    return stdout;
  }

  const page = (service: string, url: string): Promise<string> => compose("exec", "-T", service, "wget", "-q", "-O", "-", url);

  test.skipIf(skipReason !== "")(
    `brings an application up and down ${skipReason}`.trim(),
    async () => {
      mkdirSync(join(daemon.dir, project));
      writeFileSync(join(daemon.dir, project, "docker-compose.yml"), APPLICATION);
      await compose("up", "-d");

      const services = (await compose("ps", "--services")).trim().split("\n").sort();
      expect(services).toEqual(["api", "db", "web"]);
      await until("web is healthy", async () => (await daemon.ok("ps", "-q", "--filter", "health=healthy")).split("\n").length === 3);
      const port = (await daemon.ok("port", container("web"), "8080")).split("\n")[0]?.split(":").at(-1) ?? "";
      expect(await (await fetch(`http://127.0.0.1:${port}/page`)).text()).toBe("page of the database\n");

      // names: of services and aliases on one's own networks, and nobody else's
      expect(await page("web", "http://service/page")).toBe("page of the database\n");
      await expect(page("web", "http://db:5432/page")).rejects.toThrow("bad address");
      const networks = await daemon.ok(
        "inspect",
        "-f",
        "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}",
        container("api"),
      );
      expect(networks.trim()).toBe(`${project}_back ${project}_front`);
      const address = `{{(index .NetworkSettings.Networks "${project}_front").IPAddress}}`;
      expect(await daemon.ok("inspect", "-f", address, container("web"))).toBe("10.213.7.77");
      expect(await daemon.ok("network", "inspect", "-f", "{{.Internal}} {{.Labels.tier}}", `${project}_back`)).toBe("true back");

      await compose("up", "-d", "--no-recreate", "--scale", "api=2");
      expect((await compose("ps", "-q", "api")).trim().split("\n")).toHaveLength(2);
      const both = await compose("exec", "-T", "web", "nslookup", "app");
      expect(both.match(/^Address.*10\.213\.7\./gm)).toHaveLength(2);

      // what is made again keeps its volume and gets its names back
      await compose("exec", "-T", "db", "sh", "-c", "echo changed >/data/page");
      await compose("up", "-d", "--force-recreate", "--no-deps", "db");
      await until("the database answers again", async () => (await page("api", "http://store:5432/page").catch(() => "")) === "changed\n");
      expect(await compose("run", "--rm", "--no-deps", "api", "wget", "-q", "-O", "-", "http://store:5432/page")).toContain("changed");

      await compose("down", "-v");
      const label = `label=com.docker.compose.project=${project}`;
      for (const list of [
        ["ps", "-aq"],
        ["network", "ls", "-q"],
        ["volume", "ls", "-q"],
      ]) {
        expect(await daemon.ok(...list, "--filter", label)).toBe("");
      }
    },
    PATIENCE_MS,
  );
});
