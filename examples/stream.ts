import { connect } from "dhow";

const dhow = connect();
await using box = await dhow.containers.run({ image: "busybox", command: ["sleep", "60"] });

for await (const event of box.exec("echo one; sleep 0.2; echo two >&2; exit 3")) {
  if (event.kind === "exit") console.log("exit code", event.exitCode);
  else console.log(event.kind, event.text.trim());
}

// A conversation: stdin stays open until end().
const calculator = box.exec(["awk", "{ print $1 * 2; fflush() }"], { stdin: true });
await calculator.stdin.write("21\n");
for await (const line of calculator.lines()) {
  console.log(line);
  if (line === "42") await calculator.stdin.write("50\n");
  else await calculator.stdin.end();
}

// Every call takes a signal.
try {
  await box.exec(["sleep", "30"], { signal: AbortSignal.timeout(200) }).text();
} catch (error) {
  console.log((error as Error).name);
}
