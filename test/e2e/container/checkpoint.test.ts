/**
 * Checkpoints as far as every host can show them: this one's kernel may be unknown to its CRIU, or there may be none. What a restored
 * container does is in test/vm/checkpoint.sh.
 */
import { afterAll, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Daemon, until } from "../daemon.ts";

const daemon = await Daemon.start();
afterAll(() => daemon[Symbol.asyncDispose]());

const hasCriu = Bun.which("criu") !== null;
const doesCriuWork = hasCriu && Bun.spawnSync(["criu", "check"]).exitCode === 0;
const hasCrunCriu = Bun.spawnSync(["crun", "--version"]).stdout.includes("+CRIU");
const container = (name: string, ...rest: readonly string[]): string =>
  `/containers/${name}/checkpoints${rest.map((part) => `/${part}`).join("")}`;
const create = (name: string, id: string, more: Readonly<Record<string, unknown>> = {}) =>
  daemon.api<{ readonly message: string }>("POST", container(name), { CheckpointID: id, ...more });
const sleeper = (name: string, ...options: readonly string[]) =>
  daemon.ok("run", "-d", "--name", name, ...options, "busybox", "sleep", "1000");
const idOf = (name: string): Promise<string> => daemon.ok("inspect", "-f", "{{.Id}}", name);
const checkpointsOf = async (name: string): Promise<string> => join(daemon.dataRoot, "containers", await idOf(name), "checkpoints");

test("dockerd's words for what can't be", async () => {
  await sleeper("words", "--runtime", "runc");
  await sleeper("tty", "--runtime", "runc", "-t");
  await sleeper("joins", "--runtime", "runc", "--pid", "container:words");
  await sleeper("goes", "--runtime", "runc", "--rm");
  await daemon.ok("create", "--name", "stopped", "busybox", "true");
  const said = async (answer: Promise<{ readonly status: number; readonly json: { readonly message: string } }>): Promise<string> => {
    const { status, json } = await answer;
    return `${status} ${json.message}`;
  };
  const onlyAllowed = "only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed";
  for (const id of ["", "x", "../up", "a/b", "ends."])
    expect(await said(create("words", id))).toBe(`400 invalid checkpoint ID ${JSON.stringify(id)}, ${onlyAllowed}`);
  expect(await said(create("nobody", "one"))).toBe("404 No such container: nobody");
  expect(await said(create("stopped", "one"))).toBe(`409 container ${await idOf("stopped")} is not running`);
  expect(await said(create("tty", "one"))).toBe("501 Cannot checkpoint container tty: checkpoint not support on containers with tty");
  expect(await said(create("joins", "one"))).toBe("501 Cannot checkpoint container joins: it is in the PID namespace of another container");
  expect(await said(create("goes", "one", { Exit: true }))).toBe(
    "409 Cannot checkpoint container goes: it is removed when it ends, and its checkpoints with it: name another directory for them",
  );
  expect(await said(create("words", "one", { CheckpointDir: "near" }))).toBe('400 checkpoint directory "near" must be an absolute path');
  expect(await said(daemon.api("DELETE", container("words", "none")))).toBe("500 checkpoint none does not exist for container words");
  expect(await said(daemon.api("DELETE", container("words", ".hidden")))).toBe(`400 invalid checkpoint ID ".hidden", ${onlyAllowed}`);
  expect(await said(daemon.api("GET", `${container("words")}?dir=/nowhere`))).toStartWith(
    '404 checkpoint directory "/nowhere" does not exist for container words',
  );
  expect(await said(daemon.api("POST", "/containers/stopped/start?checkpoint=none"))).toBe(
    "500 checkpoint none does not exist for container stopped",
  );
  expect(await said(daemon.api("POST", "/containers/stopped/start?checkpoint=x"))).toBe(`400 invalid checkpoint ID "x", ${onlyAllowed}`);
  expect((await daemon.api<unknown>("GET", container("words"))).json).toEqual([]);
});

test.skipIf(hasCrunCriu)("a crun without CRIU is named", async () => {
  await sleeper("crun");
  const { status, json } = await create("crun", "one");
  expect(`${status} ${json.message}`).toBe(
    "501 Cannot checkpoint container crun: this crun is built without CRIU; a container of runc (--runtime runc) can have checkpoints",
  );
});

test.skipIf(doesCriuWork)("what CRIU says comes to the client, and the container goes on", async () => {
  await sleeper("goes-on", "--runtime", "runc");
  const { status, json } = await create("goes-on", "one", { Exit: true });
  const wanted = hasCriu ? /^500 .*: runc checkpoint failed: criu failed: type DUMP errno 0: \w+/ : /^501 .*: criu is not installed$/;
  expect(`${status} ${json.message}`).toMatch(wanted);
  expect(json.message).toStartWith("Cannot checkpoint container goes-on: ");
  expect(existsSync(await checkpointsOf("goes-on"))).toBe(false);
  expect(await daemon.ok("exec", "goes-on", "echo", "there")).toBe("there");
  await daemon.ok("restart", "-t", "0", "goes-on");
});

test("checkpoints are listed, removed, and gone with their container", async () => {
  await daemon.ok("create", "--name", "has", "busybox", "true");
  const dir = await checkpointsOf("has");
  for (const name of ["two", "one", ".three.part"]) mkdirSync(join(dir, name), { recursive: true });
  expect((await daemon.api<unknown>("GET", container("has"))).json).toEqual([{ Name: "one" }, { Name: "two" }]);
  expect((await daemon.api("DELETE", container("has", "one"))).status).toBe(204);
  expect((await daemon.api<unknown>("GET", `${container("has")}?dir=${dir}`)).json).toEqual([{ Name: "two" }]);
  const { status, json } = await daemon.api<{ readonly message: string }>("POST", "/containers/has/start?checkpoint=two");
  const why = hasCriu ? `${dir}/two is not a checkpoint: it has no inventory.img` : "criu is not installed";
  expect(`${status} ${json.message}`).toEndWith(hasCrunCriu ? why : "can have checkpoints");
  await daemon.ok("rm", "has");
  await until("its files are gone", () => !existsSync(dir));
});

test.skipIf(!hasCriu)(
  "kill -9 in the middle: what is begun comes to its end without the daemon, what nobody goes on with is swept",
  async () => {
    // a runtime that waits for a word before it does what it is asked
    const runtime = join(daemon.dir, "waiting-runc");
    const [asked, go] = [join(daemon.dir, "asked"), join(daemon.dir, "go")];
    const script = `#!/bin/sh\ncase " $* " in *" checkpoint "*) touch ${asked}; while [ ! -e ${go} ]; do sleep 0.05; done ;; esac\nexec runc "$@"\n`;
    writeFileSync(runtime, script);
    chmodSync(runtime, 0o755);
    const settings = ["--add-runtime", `waiting=${runtime}`];
    await daemon.stop();
    await daemon.launch(settings);
    await sleeper("middle", "--runtime", "waiting");
    const dir = await checkpointsOf("middle");
    const answer = create("middle", "begun", { Exit: false }).catch(() => undefined);
    await until("the runtime is asked", () => existsSync(asked));
    mkdirSync(join(dir, ".left.part"));
    await daemon.kill9();
    await answer;
    await daemon.launch(settings);
    expect(readdirSync(dir)).toEqual([".begun.part"]);
    expect((await daemon.api<unknown>("GET", container("middle"))).json).toEqual([]);
    expect((await create("middle", "begun")).json.message).toEndWith("a checkpoint of this name is in the making");
    expect(await daemon.ok("exec", "middle", "echo", "there")).toBe("there");
    writeFileSync(go, "");
    await until("it ends", () => !existsSync(join(dir, ".begun.part")));
    expect(readdirSync(dir)).toEqual(doesCriuWork ? ["begun"] : []);
    expect(await daemon.ok("exec", "middle", "echo", "there")).toBe("there");
  },
);

test("the docker command line offers checkpoints where the daemon says that it is experimental", async () => {
  expect((await daemon.docker("version", "-f", "{{.Server.Experimental}}")).stdout.trim()).toBe("false");
  await daemon.stop();
  await daemon.launch(["--experimental"]);
  expect((await daemon.api("GET", "/_ping")).headers.get("docker-experimental")).toBe("true");
  expect(await daemon.ok("info", "-f", "{{.ExperimentalBuild}}")).toBe("true");
  expect(await daemon.ok("version", "-f", "{{.Server.Experimental}}")).toBe("true");
  await daemon.ok("start", "words");
  expect(await daemon.ok("checkpoint", "ls", "words")).toBe("CHECKPOINT NAME");
  expect((await daemon.docker("checkpoint", "rm", "words", "none")).stderr).toBe(
    "Error response from daemon: checkpoint none does not exist for container words\n",
  );
});
