import { connect, DhowError } from "dhow";

const dhow = connect();
const stop = new AbortController();
const before = new Date();

const box = await dhow.containers.create({ image: "busybox", command: ["true"], labels: { example: "events" } });
await box.start();
await box.wait();
await box.remove();

// Those that were, and those to come.
for await (const event of dhow.events({ since: before, filters: { type: "container", label: "example=events" }, signal: stop.signal })) {
  console.log(event.Action);
  if (event.Action === "destroy") break;
}

try {
  await dhow.containers.get(box.id);
} catch (error) {
  if (!(error instanceof DhowError)) throw error;
  console.log(error.kind, error.details["status"], error.message.replace(box.id, "…"));
}
