import { connect } from "dhow";

const dhow = connect();
await using box = await dhow.containers.run({ image: "busybox", command: ["sleep", "60"] });

await box.files.write("/work/src/hello.txt", "hello\n");
await box.files.write("/work/run.sh", "#!/bin/sh\nwc -c < /work/src/hello.txt\n", { mode: 0o755 });
console.log(await box.exec(["/work/run.sh"]).text());
console.log(await box.files.readText("/work/src/hello.txt"));

for (const { name, kind, size } of await box.files.readDir("/work")) console.log(name, kind, kind === "file" ? size : "");
console.log(await box.files.exists("/nowhere"));

// Any stream goes in, and comes out as one.
const source = new Blob(["x".repeat(10_000_000)]).stream();
await source.pipeTo(box.files.writeStream("/work/big"));
let size = 0;
for await (const bytes of box.files.readStream("/work/big")) size += bytes.length;
console.log(size);

// A whole tree, into another container.
await using other = await dhow.containers.create({ image: "busybox" });
await other.files.extract("/", box.files.archive("/work"));
console.log((await other.files.stat("/work/big")).size);
