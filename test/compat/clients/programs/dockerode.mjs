// A day with dockerode: what its readme shows, against the engine at DOCKER_HOST.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { PassThrough } from "node:stream";

const require = createRequire(`${process.env.CLIENTS}/`);
const Docker = require("dockerode");
const docker = new Docker({ socketPath: process.env.DOCKER_HOST.slice("unix://".length) });

const read = async (stream) => {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
};
/** The two streams of a multiplexed one. */
const apart = async (stream) => {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  docker.modem.demuxStream(stream, stdout, stderr);
  stream.on("end", () => {
    stdout.end();
    stderr.end();
  });
  return (await Promise.all([read(stdout), read(stderr)])).map(String);
};
const progress = (stream) =>
  new Promise((resolve, reject) => docker.modem.followProgress(stream, (error, all) => (error ? reject(error) : resolve(all))));
const said = [];
const step = async (name, work) => {
  await work();
  said.push(name);
  console.log(`ok ${name}`);
};

await step("ping, version, info", async () => {
  assert.equal(String(await docker.ping()), "OK");
  assert.match((await docker.version()).ApiVersion, /^1\.\d+$/);
  assert.equal(typeof (await docker.info()).Containers, "number");
});

await step("run with an output stream", async () => {
  const output = new PassThrough();
  const text = read(output);
  const [result, container] = await docker.run("busybox", ["sh", "-c", "echo hello; exit 3"], output, {
    HostConfig: { NetworkMode: "none" },
  });
  assert.equal(result.StatusCode, 3);
  output.end();
  assert.match(String(await text), /hello/);
  await container.remove();
});

await step("attach with stdin by hijack", async () => {
  const container = await docker.createContainer({
    Image: "busybox",
    Cmd: ["cat"],
    OpenStdin: true,
    StdinOnce: true,
    AttachStdin: true,
    AttachStdout: true,
    AttachStderr: true,
  });
  const stream = await container.attach({ stream: true, stdin: true, stdout: true, stderr: true, hijack: true });
  const output = apart(stream);
  await container.start();
  stream.write("x".repeat(300_000));
  stream.end("\nlast\n");
  assert.deepEqual(
    (await output).map((text) => text.length),
    [300_006, 0],
  );
  assert.equal((await container.wait()).StatusCode, 0);
  await container.remove();
});

const box = await docker.createContainer({
  name: "dockerode-box",
  Image: "busybox",
  Cmd: ["sh", "-c", "echo out; echo err >&2; exec sleep 1000"],
  Labels: { made: "by-dockerode" },
  ExposedPorts: { "80/tcp": {} },
  HostConfig: { PortBindings: { "80/tcp": [{ HostPort: "" }] }, Memory: 64 * 1024 * 1024 },
});
await box.start();

await step("exec with stdin and exit code", async () => {
  const exec = await box.exec({
    Cmd: ["sh", "-c", "cat; echo err >&2; exit 4"],
    AttachStdin: true,
    AttachStdout: true,
    AttachStderr: true,
  });
  const stream = await exec.start({ hijack: true, stdin: true });
  const output = apart(stream);
  stream.end("in");
  assert.deepEqual(await output, ["in", "err\n"]);
  assert.equal((await exec.inspect()).ExitCode, 4);
});

await step("exec without hijack, with a terminal", async () => {
  const exec = await box.exec({ Cmd: ["echo", "plain"], AttachStdout: true, AttachStderr: true, Tty: true });
  assert.equal(String(await read(await exec.start({ Tty: true }))), "plain\r\n");
});

await step("logs whole and followed", async () => {
  const [stdout, stderr] = await apart(
    await box.logs({ follow: false, stdout: true, stderr: true }).then((logs) => (Buffer.isBuffer(logs) ? PassThrough.from([logs]) : logs)),
  );
  assert.deepEqual([stdout, stderr], ["out\n", "err\n"]);
  const follow = await box.logs({ follow: true, stdout: true, stderr: true, tail: 1 });
  assert.ok((await new Promise((resolve) => follow.once("data", resolve))).length > 0);
  follow.destroy();
});

await step("inspect, list, top, stats", async () => {
  const { NetworkSettings, State } = await box.inspect();
  assert.ok(Number(NetworkSettings.Ports["80/tcp"][0].HostPort) > 0);
  assert.equal(State.Status, "running");
  const listed = await docker.listContainers({ filters: { label: ["made=by-dockerode"] } });
  assert.deepEqual(
    listed.map(({ Names }) => Names),
    [["/dockerode-box"]],
  );
  assert.ok((await box.top()).Processes.length > 0);
  assert.ok((await box.stats({ stream: false })).memory_stats.limit === 64 * 1024 * 1024);
});

await step("archives in and out", async () => {
  await box.putArchive(await box.getArchive({ path: "/bin/busybox" }), { path: "/tmp" });
  const exec = await box.exec({ Cmd: ["ls", "/tmp"], AttachStdout: true });
  assert.equal((await apart(await exec.start({})))[0], "busybox\n");
  await assert.rejects(box.getArchive({ path: "/nowhere" }), { statusCode: 404 });
});

await step("pause, restart, rename, update, kill, wait", async () => {
  await box.pause();
  await box.unpause();
  await box.restart({ t: 0 });
  await box.rename({ name: "dockerode-renamed" });
  await box.update({ Memory: 128 * 1024 * 1024, MemorySwap: -1 });
  await assert.rejects(box.start(), { statusCode: 304 });
  const waiting = box.wait();
  await box.kill({ signal: "SIGKILL" });
  assert.equal((await waiting).StatusCode, 137);
});

await step("commit, tag, history, save, load, remove", async () => {
  const { Id } = await box.commit({ repo: "dockerode/made", tag: "1" });
  const image = docker.getImage(Id);
  await image.tag({ repo: "dockerode/made", tag: "2" });
  assert.deepEqual((await image.inspect()).RepoTags.sort(), ["dockerode/made:1", "dockerode/made:2"]);
  assert.ok((await image.history()).length > 1);
  const archive = await read(await docker.getImage("dockerode/made:1").get());
  await docker.getImage("dockerode/made:2").remove();
  await docker.getImage("dockerode/made:1").remove({ force: true });
  await assert.rejects(image.inspect(), { statusCode: 404 });
  await progress(await docker.loadImage(PassThrough.from([archive])));
  assert.equal((await docker.getImage("dockerode/made:1").inspect()).Id, Id);
  await docker.getImage("dockerode/made:1").remove();
});

await step("volumes and networks", async () => {
  const volume = await docker.createVolume({ Name: "dockerode-volume", Labels: { a: "b" } });
  assert.equal((await volume.inspect()).Name, "dockerode-volume");
  assert.ok((await docker.listVolumes()).Volumes.some(({ Name }) => Name === "dockerode-volume"));
  await volume.remove();
  assert.ok((await docker.listNetworks()).some(({ Name }) => Name === "bridge"));
});

await step("events", async () => {
  const since = Math.floor(Date.now() / 1000) - 60;
  const events = await docker.getEvents({ since, until: Math.floor(Date.now() / 1000) + 1, filters: { container: [box.id] } });
  const actions = String(await read(events))
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line).Action);
  assert.ok(actions.includes("die") && actions.includes("pause"), actions.join());
});

await step("errors as dockerode's users test for them", async () => {
  await assert.rejects(docker.getContainer("no-such").inspect(), {
    statusCode: 404,
    reason: "no such container",
    json: { message: "No such container: no-such" },
  });
  await assert.rejects(docker.createContainer({ Image: "no/such:image" }), { statusCode: 404 });
  await assert.rejects(box.exec({ Cmd: ["true"] }), { statusCode: 409 });
});

await box.remove({ force: true });
await step("prune", async () => {
  assert.equal(typeof (await docker.pruneContainers()).SpaceReclaimed, "number");
});
console.log(`${said.length} steps`);
