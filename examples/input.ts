import { connect } from "dhow";

const dhow = connect();

// A container as a filter: bytes in, exit code and output out.
await using filter = await dhow.containers.run({ image: "busybox", command: ["tr", "a-z", "A-Z"], input: "quiet please\n" });
console.log(await filter.wait());
console.log(await filter.logs().text());

// Input may be any stream or iterable, for a container as for a command in one.
async function* numbers() {
  for (let n = 1; n <= 1000; n++) yield `${n}\n`;
}
await using box = await dhow.containers.run({ image: "busybox", command: ["sleep", "60"] });
console.log(await box.exec(["wc", "-l"], { input: numbers() }).text());
