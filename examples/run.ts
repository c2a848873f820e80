import { connect, ExecError } from "dhow";

const dhow = connect();

// Removed at the end of the block, whatever happens in it.
await using box = await dhow.containers.run({
  image: "busybox",
  command: ["sleep", "60"],
  env: { GREETING: "hello" },
  memory: "64m",
  network: "none",
});

console.log(await box.exec("echo $GREETING").text());
const { answer } = await box.exec(`echo '{"answer": 42}'`).json<{ answer: number }>();
console.log(answer);

try {
  await box.exec(["ls", "/nowhere"]).text();
} catch (error) {
  if (!(error instanceof ExecError)) throw error;
  console.log(error.exitCode, error.stderr);
}

// Whatever the exit code is:
const { exitCode, stdout } = await box.exec("echo half; exit 3").result();
console.log(exitCode, stdout);
