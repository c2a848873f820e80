// A day with Testcontainers for Node.js, against the engine at DOCKER_HOST.
import assert from "node:assert/strict";
import { createRequire } from "node:module";

const require = createRequire(`${process.env.CLIENTS}/`);
const { GenericContainer, Wait, getContainerRuntimeClient } = require("testcontainers");
// its log streams don't keep the program alive
const alive = setInterval(() => {}, 1000);
const step = async (name, work) => {
  await work();
  console.log(`ok ${name}`);
};

await step("finds the engine", async () => {
  const { info } = await getContainerRuntimeClient();
  assert.ok(info.containerRuntime.host.length > 0);
});

await step("a service with a mapped port, ready by its log and its port", async () => {
  const container = await new GenericContainer("busybox:latest")
    .withCommand(["sh", "-c", "mkdir /www; echo welcome > /www/index.html; echo serving; exec httpd -f -p 80 -h /www"])
    .withExposedPorts(80)
    .withEnvironment({ A: "b" })
    .withLabels({ made: "by-testcontainers" })
    .withWaitStrategy(Wait.forAll([Wait.forLogMessage("serving"), Wait.forListeningPorts()]))
    .start();
  try {
    const response = await fetch(`http://${container.getHost()}:${container.getMappedPort(80)}/`);
    assert.equal(await response.text(), "welcome\n");
    const { output, exitCode } = await container.exec(["sh", "-c", "echo $A; exit 2"]);
    assert.deepEqual([output, exitCode], ["b\n", 2]);
    assert.match(container.getIpAddress("bridge"), /^\d+\.\d+\.\d+\.\d+$/);
  } finally {
    await container.stop();
  }
});

await step("ready by HTTP, by a command, by its health", async () => {
  const serve = ["sh", "-c", "mkdir /www; echo ok > /www/health; exec httpd -f -p 8080 -h /www"];
  const strategies = [
    Wait.forHttp("/health", 8080).forStatusCode(200),
    Wait.forSuccessfulCommand("wget -q -O /dev/null http://127.0.0.1:8080/health"),
    Wait.forHealthCheck(),
  ];
  for (const strategy of strategies) {
    const container = await new GenericContainer("busybox:latest")
      .withCommand(serve)
      .withExposedPorts(8080)
      .withHealthCheck({
        test: ["CMD", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8080/health"],
        interval: 100,
        timeout: 3000,
        retries: 50,
      })
      .withWaitStrategy(strategy)
      .start();
    await container.stop({ remove: true, timeout: 1 });
  }
});

await step("one that ends by itself", async () => {
  const container = await new GenericContainer("busybox:latest").withCommand(["true"]).withWaitStrategy(Wait.forOneShotStartup()).start();
  await container.stop();
});

await step("files in and out, tmpfs, user, restart, logs", async () => {
  const container = await new GenericContainer("busybox:latest")
    .withCommand(["sh", "-c", "cat /in/file; exec sleep 1000"])
    .withCopyContentToContainer([{ content: "content\n", target: "/in/file" }])
    .withTmpFs({ "/t": "rw,size=1m" })
    .withResourcesQuota({ memory: 0.125, cpu: 1 })
    .withWorkingDir("/tmp")
    .start();
  try {
    const line = await new Promise((resolve, reject) => container.logs().then((logs) => logs.once("data", resolve), reject));
    assert.equal(String(line).trim(), "content");
    await container.copyContentToContainer([{ content: "later", target: "/later" }]);
    assert.equal((await container.exec(["cat", "/later"])).stdout, "later");
    const archive = await container.copyArchiveFromContainer("/in/file");
    let bytes = 0;
    for await (const chunk of archive) bytes += chunk.length;
    assert.ok(bytes >= 1024);
    await container.restart({ timeout: 0 });
    assert.equal((await container.exec(["pwd"])).output, "/tmp\n");
    assert.match(await container.commit({ repo: "testcontainers-made", tag: "1", deleteOnExit: false }), /^[0-9a-f]{64}$|^sha256:/);
  } finally {
    await container.stop();
  }
});

await step("one that doesn't start tells why", async () => {
  await assert.rejects(new GenericContainer("busybox:latest").withCommand(["/no/such"]).start(), /no such file or directory/);
});

await step("reuse", async () => {
  const start = () => new GenericContainer("busybox:latest").withCommand(["sleep", "1000"]).withName("reused").withReuse().start();
  const [first, second] = [await start(), await start()];
  assert.equal(first.getId(), second.getId());
  await second.stop({ remove: true, timeout: 0 });
});

clearInterval(alive);
