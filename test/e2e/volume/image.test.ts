import { afterAll, afterEach, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { Daemon, dockerCliMajor, until } from "../daemon.ts";

const daemon = await Daemon.start();
afterAll(() => daemon[Symbol.asyncDispose]());
afterEach(() => daemon.removeContainers());

interface Created {
  readonly Id: string;
  readonly message: string;
}
const create = (mount: object, version = ""): Promise<{ status: number; json: Created }> => {
  const body = { Image: "busybox", Cmd: ["sh", "-c", "cat /i/etc/note /i/note 2>/dev/null; touch /i/x"], HostConfig: { Mounts: [mount] } };
  return daemon.api<Created>("POST", `${version}/containers/create`, body);
};

test("--mount type=image shows another image's files, read-only, also after the image has gone", async () => {
  const source = await daemon.ok("run", "-d", "busybox", "sh", "-c", "mkdir -p /etc; echo of the image > /etc/note; sleep 1000");
  await daemon.docker("exec", source, "true");
  await daemon.ok("commit", source, "noted");
  const { json, status } = await create({ Type: "image", Source: "noted", Target: "/i" });
  expect(status).toBe(201);
  await daemon.ok("rmi", "-f", "noted");
  await daemon.ok("rm", "-f", source);
  const { stdout, stderr, exitCode } = await daemon.docker("start", "-a", json.Id);
  expect({ stdout, exitCode }).toEqual({ stdout: "of the image\n", exitCode: 1 });
  expect(stderr).toContain("Read-only file system");
  const [mount] = (await daemon.inspect<{ Mounts: { Type: string; Name: string; RW: boolean; Destination: string }[] }>(json.Id)).Mounts;
  expect(mount).toMatchObject({ Type: "image", Name: "noted", RW: false, Destination: "/i" });
  expect(await daemon.ok("cp", `${json.Id}:/i/etc/note`, "-")).toContain("of the image");
  await daemon.kill9();
  await daemon.restart();
  expect((await daemon.docker("start", "-a", json.Id)).stdout).toBe("of the image\n");
  await daemon.ok("rm", json.Id);
  await until("its snapshots are gone", () => readdirSync(join(daemon.dataRoot, "snapshots/active")).length === 0);
});

test("image-subpath stays inside of the image; what isn't there is refused", async () => {
  const { json } = await create({ Type: "image", Source: "busybox", Target: "/i", ImageOptions: { Subpath: "bin" } });
  await daemon.docker("start", "-a", json.Id);
  expect((await create({ Type: "image", Source: "nosuch", Target: "/i" })).json.message).toContain("No such image: nosuch");
  expect((await create({ Type: "image", Target: "/i" })).json.message).toBe(
    'invalid mount config for type "image": field Source must not be empty',
  );
  expect((await create({ Type: "image", Source: "busybox", Target: "/i", ImageOptions: { Subpath: "../x" } })).json.message).toContain(
    "subpath",
  );
  expect((await create({ Type: "image", Source: "busybox", Target: "/i" }, "/v1.47")).json.message).toBe(
    'Mount type "Image" needs API v1.48 or newer',
  );
  if (dockerCliMajor < 28) return;
  const listed = await daemon.ok("run", "--rm", "--mount", "type=image,src=busybox,dst=/i,image-subpath=bin", "busybox", "ls", "/i");
  expect(listed).toContain("busybox");
});
