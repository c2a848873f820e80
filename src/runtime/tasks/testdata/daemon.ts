// A daemon to be killed: starts (or adopts) the container of its arguments, says so, and takes its output until the end.
import { Fixture } from "./fixture.ts";

const [directory = "", mode = "", id = "", tty = "", ...args] = process.argv.slice(2);
const say = (line: string): void => void process.stdout.write(`${line}\n`);
const fixture = new Fixture(directory);
const io = fixture.io(id, { tty: tty === "tty", openStdin: tty === "stdin" });
if (mode === "run") {
  const task = await fixture.tasks.run({ id, spec: fixture.spec(args, { tty: tty === "tty" }), io, runtime: "crun" });
  say(`running ${task.pid}`);
  const { exitCode } = await task.exited;
  await io.drained;
  say(`exited ${exitCode}`);
} else {
  const adopted = await fixture.tasks.adopt({ id, io, runtime: "crun" });
  if (adopted === undefined) say("nothing");
  else if (adopted.kind === "exited") say(`was ${adopted.exit.exitCode}`);
  else if (adopted.kind === "failed") say(`failed ${adopted.error}`);
  else {
    say(`adopted ${adopted.task.pid}`);
    const { exitCode } = await adopted.task.exited;
    await adopted.task.gone;
    await io.drained;
    say(`exited ${exitCode}`);
  }
}
await Bun.sleep(10);
fixture[Symbol.dispose]();
