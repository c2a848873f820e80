/** `docker commit`: an image of a container's changes. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { digestOf, readTar, type TarHeader } from "../../../src/lib/mod.ts";
import { Daemon, dockerCliMajor, until } from "../daemon.ts";

/** dhow's own command line, from the checkout. */
const LAUNCHER = join(import.meta.dir, "../../../dhow");

interface Image {
  readonly Id: string;
  readonly Parent: string;
  readonly Author: string;
  readonly Comment: string;
  readonly Size: number;
  readonly RootFS: { readonly Layers: readonly string[] };
  readonly Config: Readonly<Record<string, unknown>>;
}

let daemon: Daemon;

beforeAll(async () => {
  daemon = await Daemon.start();
}, 120_000);

afterAll(() => daemon?.[Symbol.asyncDispose]());

afterEach(async () => {
  await daemon.removeContainers();
  const made = (await daemon.ok("images", "-aq", "--no-trunc")).split("\n").filter((id) => id !== "");
  const base = await daemon.ok("images", "-q", "--no-trunc", "busybox:latest");
  const others = [...new Set(made)].filter((id) => id !== base);
  if (others.length > 0) await daemon.ok("rmi", "-f", ...others);
});

const image = async (ref: string): Promise<Image> => (await daemon.api<Image>("GET", `/v1.41/images/${ref}/json`)).json;

/** The entries of an image's last layer, whose bytes are checked against the digest in its config. */
async function lastLayer(ref: string): Promise<Map<string, TarHeader>> {
  const path = join(daemon.dir, "saved.tar");
  await daemon.ok("save", "-o", path, ref);
  const digest = (await image(ref)).RootFS.Layers.at(-1) ?? "";
  for await (const { header, payload } of readTar(Bun.file(path).stream() as unknown as AsyncIterable<Uint8Array>)) {
    if (header.name !== `blobs/sha256/${digest.slice("sha256:".length)}`) continue;
    const parts: Uint8Array[] = [];
    for await (const part of payload) parts.push(Buffer.from(part));
    const tar = Buffer.concat(parts);
    expect(digestOf(tar) as string).toBe(digest);
    const entries = new Map<string, TarHeader>();
    for await (const entry of readTar(new Blob([tar]).stream() as unknown as AsyncIterable<Uint8Array>)) {
      expect(entries.has(entry.header.name)).toBe(false);
      entries.set(entry.header.name, entry.header);
    }
    return entries;
  }
  throw new Error(`${ref} has no layer ${digest}`);
}

test("the layer holds the changes and nothing else, and a container of the image has them", async () => {
  const script =
    "mkdir -m 750 /d; echo x > /d/f; ln /d/f /d/g; ln -s /d /l; mkfifo /p; rm /bin/ls; rm -r /var/spool; mkdir /var/spool; echo n > /var/spool/n;" +
    "echo vol > /data/x; echo h >> /etc/hosts; truncate -s 5M /sparse; echo .wh > /.wh.odd; chmod 4711 /bin/busybox";
  await daemon.ok("run", "--name", "cc", "-v", "/data", "busybox", "sh", "-c", script);
  await daemon.ok("commit", "cc", "made:1");
  const layer = await lastLayer("made:1");
  const names = ["bin/", "bin/busybox", "bin/.wh.ls", "d/", "d/f", "d/g", "data/", "l", "p", "sparse", "var/", "var/spool/"];
  expect([...layer.keys()]).toEqual([...names, "var/spool/.wh..wh..opq", "var/spool/n"]);
  expect(layer.get("d/g")).toMatchObject({ type: "link", linkName: "d/f" });
  expect(layer.get("d/")?.mode).toBe(0o750);
  const check =
    "cat /d/f /var/spool/*; ls /var/spool; stat -c '%h %a' /d/g /bin/busybox; stat -c %s /sparse; test -e /bin/ls || echo gone; ls /data";
  expect(await daemon.ok("run", "--rm", "made:1", "sh", "-c", check)).toBe("x\nn\nn\n2 644\n1 4711\n5242880\ngone");
});

test("a commit of no changes has its parent's layers and an empty row in its history", async () => {
  await daemon.ok("create", "--name", "cc", "busybox", "sh", "-c", "nothing");
  await daemon.ok("commit", "-m", "a message", "-a", "An Author", "cc", "made:1");
  const [made, base] = [await image("made:1"), await image("busybox:latest")];
  expect(made).toMatchObject({ Parent: base.Id, Author: "An Author", Comment: "a message", Size: base.Size, RootFS: base.RootFS });
  const [row] = (await daemon.api<Record<string, unknown>[]>("GET", "/images/made:1/history")).json;
  expect(row).toMatchObject({ Id: made.Id, CreatedBy: "sh -c nothing", Size: 0, Comment: "a message", Tags: ["made:1"] });
});

test("--change and the container's own configuration make the image's", async () => {
  await daemon.ok(
    "create",
    "--name",
    "cc",
    "-e",
    "A=1",
    "-l",
    "own=1",
    "--stop-signal",
    "SIGINT",
    "-w",
    "/w",
    "-u",
    "7",
    "busybox",
    "date",
  );
  const changes = ["ENV B=$A C='2 3'", "LABEL more=x", "EXPOSE 80 53/udp", "VOLUME /v", "USER 8", "WORKDIR sub", "ONBUILD RUN x"];
  changes.push('ENTRYPOINT ["echo"]', "STOPSIGNAL SIGTERM", "HEALTHCHECK --interval=5s CMD true");
  await daemon.ok("commit", ...changes.flatMap((change) => ["--change", change]), "cc", "made:1");
  const { Config } = await image("made:1");
  expect(Config).toMatchObject({
    Env: ["A=1", expect.stringMatching(/^PATH=/), "B=1", "C=2 3"],
    Labels: { own: "1", more: "x" },
    ExposedPorts: { "80/tcp": {}, "53/udp": {} },
    Volumes: { "/v": {} },
    User: "8",
    WorkingDir: "/w/sub",
    OnBuild: ["RUN x"],
    Entrypoint: ["echo"],
    Cmd: null,
    StopSignal: "SIGTERM",
    Healthcheck: { Test: ["CMD-SHELL", "true"], Interval: 5_000_000_000 },
  });
});

test("a configuration in the body is filled in by the container's", async () => {
  await daemon.ok("create", "--name", "cc", "-e", "A=1", "-e", "B=1", "-l", "x=c", "busybox", "date");
  const body = { Env: ["A=2"], Labels: { y: "b" }, Cmd: ["cal"], WorkingDir: "/b" };
  const { status, json } = await daemon.api<{ Id: string }>("POST", "/commit?container=cc&repo=made&tag=2", body);
  expect(status).toBe(201);
  const made = await image("made:2");
  expect(made.Id).toBe(json.Id);
  expect(made.Config).toMatchObject({
    Env: ["A=2", "B=1", expect.stringMatching(/^PATH=/)],
    Labels: { x: "c", y: "b" },
    Cmd: ["cal"],
    WorkingDir: "/b",
  });
});

test("a running container stands still meanwhile and goes on afterwards, also when the commit fails", async () => {
  await daemon.ok("run", "-d", "--name", "cc", "busybox", "sh", "-c", "while :; do echo x >> /log; done");
  const since = Date.now() / 1000;
  await daemon.ok("commit", "cc", "made:1");
  expect((await daemon.inspect<{ State: { Status: string } }>("cc")).State.Status).toBe("running");
  const actions = await daemon.ok("events", "--since", `${since}`, "--until", `${Date.now() / 1000}`, "--format", "{{.Type}} {{.Action}}");
  // API 1.46 has the event
  const created = dockerCliMajor >= 27 ? ["image create"] : [];
  expect(actions.split("\n")).toEqual(["container pause", "container unpause", ...created, "image tag", "container commit"]);
  await daemon.ok("commit", "--pause=false", "cc", "made:2");
  const later = Date.now() / 1000;
  const own = (...args: readonly string[]) => daemon.dockerWith({ cli: LAUNCHER }, "-H", daemon.host, "commit", ...args, "cc");
  expect((await own("--no-pause")).exitCode).toBe(0);
  expect((await own("--no-pause", "--pause")).stderr).toContain("conflicting options: --no-pause and --pause cannot be used together");
  expect(await daemon.ok("events", "--since", `${later}`, "--until", `${Date.now() / 1000}`, "--filter", "event=pause")).toBe("");
  const refused = await daemon.docker("commit", "--change", "FROM x", "cc");
  expect(refused.stderr).toContain("is not a valid change command");
  expect((await daemon.inspect<{ State: { Status: string } }>("cc")).State.Status).toBe("running");
});

test("a paused container stays paused", async () => {
  await daemon.ok("run", "-d", "--name", "cc", "busybox", "sleep", "1000");
  await daemon.ok("pause", "cc");
  await daemon.ok("commit", "cc", "made:1");
  expect((await daemon.inspect<{ State: { Status: string } }>("cc")).State.Status).toBe("paused");
});

test("a commit that its daemon's death cuts short leaves nothing, and lets the container go on", async () => {
  const script = "dd if=/dev/zero of=/big bs=1M count=60 2>/dev/null; echo ready; while :; do echo x; sleep 0.05; done";
  await daemon.ok("run", "-d", "--name", "cc", "busybox", "sh", "-c", script);
  await until("it is ready", async () => (await daemon.ok("logs", "cc")).startsWith("ready"));
  const layersBefore = readdirSync(join(daemon.dataRoot, "snapshots/layers"));
  const client = daemon.spawn({}, "commit", "cc", "made:1");
  await until("a layer is on its way", () => readdirSync(join(daemon.dataRoot, "snapshots/drafts")).length > 0);
  await daemon.kill9();
  client.kill("SIGKILL");
  await daemon.launch();
  expect((await daemon.inspect<{ State: { Status: string } }>("cc")).State.Status).toBe("running");
  const before = (await daemon.ok("logs", "cc")).length;
  await until("it goes on", async () => (await daemon.ok("logs", "cc")).length > before);
  expect(readdirSync(join(daemon.dataRoot, "snapshots/layers"))).toEqual(layersBefore);
  expect(readdirSync(join(daemon.dataRoot, "snapshots/drafts"))).toEqual([]);
  await daemon.ok("commit", "cc", "made:1");
  await daemon.removeContainers();
  expect(await daemon.residue()).toEqual([]);
});

test("commits of a commit: each has a layer on top of the last, and the base may go", async () => {
  await daemon.ok("tag", "busybox", "base:1");
  await daemon.ok("run", "--name", "aa", "base:1", "sh", "-c", "echo 1 > /one; echo 1 > /both");
  await daemon.ok("commit", "aa", "made:1");
  await daemon.ok("run", "--name", "bb", "made:1", "sh", "-c", "echo 2 > /two; rm /both");
  await daemon.ok("commit", "bb", "made:2");
  expect((await image("made:2")).RootFS.Layers).toHaveLength(3);
  expect([...(await lastLayer("made:2")).keys()]).toEqual([".wh.both", "two"]);
  expect(await daemon.ok("run", "--rm", "made:2", "sh", "-c", "cat /one /two; test -e /both || echo gone")).toBe("1\n2\ngone");
});

test("a container whose image is gone can still be committed", async () => {
  await daemon.ok("run", "--name", "aa", "busybox", "sh", "-c", "echo 1 > /one");
  await daemon.ok("commit", "aa", "made:1");
  await daemon.ok("run", "--name", "bb", "made:1", "sh", "-c", "echo 2 > /two");
  await daemon.ok("rm", "aa");
  await daemon.ok("rmi", "-f", await daemon.ok("images", "-q", "made:1"));
  await daemon.ok("commit", "bb", "made:2");
  await daemon.ok("rm", "bb");
  expect(await daemon.ok("run", "--rm", "made:2", "cat", "/one", "/two")).toBe("1\n2");
});

test("a tag moves to the new image", async () => {
  await daemon.ok("create", "--name", "cc", "busybox", "true");
  const first = await daemon.ok("commit", "cc", "made:1");
  const second = await daemon.ok("commit", "cc", "made:1");
  expect(second).not.toBe(first);
  expect((await image("made:1")).Id).toBe(second);
});

test("what is wrong is told in docker's words, and leaves nothing", async () => {
  await daemon.ok("create", "--name", "cc", "busybox", "true");
  const images = await daemon.ok("images", "-aq");
  const refusals: [string, number, string][] = [
    ["container=nosuch", 404, "No such container: nosuch"],
    ["container=cc&repo=UPPER", 400, "invalid reference format: repository name (library/UPPER) must be lowercase"],
    ["container=cc&repo=x&tag=-bad", 400, "invalid tag format"],
    ["container=cc&repo=sha256", 400, "refusing to create an ambiguous tag using digest algorithm as name"],
    ["container=cc&changes=FROM+x", 400, "FROM is not a valid change command"],
  ];
  for (const [query, status, message] of refusals) {
    const answer = await daemon.api<{ message: string }>("POST", `/commit?${query}`);
    expect([answer.status, answer.json.message]).toEqual([status, message]);
  }
  expect(await daemon.ok("images", "-aq")).toBe(images);
});

test("a container that writes while it is committed without a pause", async () => {
  const script =
    "i=0; while :; do i=$((i+1)); mkdir -p /t/$i; dd if=/dev/zero of=/t/$i/f bs=64k count=4 2>/dev/null; rm -rf /t/$((i-5)); : > /t/$((i-2))/f; done";
  await daemon.ok("run", "-d", "--name", "cc", "busybox", "sh", "-c", script);
  for (let round = 0; round < 5; round++) {
    await daemon.ok("commit", "--pause=false", "cc", "made:1");
    await lastLayer("made:1");
  }
});
