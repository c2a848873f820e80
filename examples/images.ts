import { createReadStream, createWriteStream } from "node:fs";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { connect } from "dhow";

const dhow = connect();
const dir = await mkdtemp(join(tmpdir(), "images-"));
const archive = join(dir, "busybox.tar");

await pipeline(dhow.images.save("busybox"), createWriteStream(archive));
console.log((await stat(archive)).size > 1_000_000);

console.log((await dhow.images.load(createReadStream(archive))).join(", "));
await dhow.images.tag("busybox", "example/tools:1");
const [image] = await dhow.images.list({ filters: { reference: "example/*" } });
console.log(image?.RepoTags?.includes("example/tools:1"));
await dhow.images.remove("example/tools:1");

await rm(dir, { recursive: true });
