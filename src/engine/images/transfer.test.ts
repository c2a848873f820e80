import { describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { createReadStream, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { digestHex, digestOf, shortId } from "../../lib/mod.ts";
import { MEDIA_TYPES } from "../../spec/oci/mod.ts";
import { collect, messages, pieces, Testbed, tarOf } from "./testbed.ts";

const LOAD = { quiet: false };
const hasMmdebstrap = spawnSync("mmdebstrap", ["--version"]).status === 0;
const hasSkopeo = spawnSync("skopeo", ["--version"]).status === 0;

function run(command: string, ...args: string[]): string {
  const result = spawnSync(command, args, { encoding: "utf8" });
  if (result.status !== 0) throw new Error(`${command} ${args.join(" ")}: ${result.stderr}`);
  return result.stdout;
}

function configOf(layers: readonly Uint8Array[], extra: object = {}): Buffer {
  return Buffer.from(
    JSON.stringify({ architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: layers.map((l) => digestOf(l)) }, ...extra }),
  );
}

/** A docker archive in the order of docker's own: by name, the manifest last. */
async function dockerArchive(
  names: readonly string[] | null,
  layers: readonly Uint8Array[],
  change: (files: Record<string, string | Uint8Array>) => void = () => {},
): Promise<Buffer> {
  const config = configOf(layers);
  const files: Record<string, string | Uint8Array> = {};
  for (const layer of layers) files[`blobs/sha256/${digestHex(digestOf(layer))}`] = layer;
  files[`blobs/sha256/${digestHex(digestOf(config))}`] = config;
  files["manifest.json"] = JSON.stringify([
    {
      Config: `blobs/sha256/${digestHex(digestOf(config))}`,
      RepoTags: names,
      Layers: layers.map((l) => `blobs/sha256/${digestHex(digestOf(l))}`),
    },
  ]);
  change(files);
  return collect(tarOf(files));
}

/** Two layers, the second too large to be kept in memory. */
async function twoLayers(): Promise<[Buffer, Buffer]> {
  return [await collect(tarOf({ "etc/base": "base" })), await collect(tarOf({ big: Buffer.alloc(3 << 20, "b") }))];
}

describe("load()", () => {
  test("tells docker's progress and gives the image its names", async () => {
    await using bed = new Testbed();
    const layers = await twoLayers();
    const archive = await dockerArchive(["x:latest", "localhost:5000/y:1"], layers);
    const said = await messages(bed.transfer.load(pieces(archive), LOAD));
    const image = bed.deps.store.resolve("x");
    expect(image.names).toEqual(["x:latest", "localhost:5000/y:1"]);
    expect(image.config.rootfs.diff_ids).toEqual(layers.map((l) => digestOf(l)) as never);
    expect(said.at(0)).toEqual({
      status: "Loading layer",
      progressDetail: { current: 2048, total: 2048 },
      id: shortId(digestOf(layers[0])),
    });
    expect(said.filter((m) => m.id === shortId(digestOf(layers[1]))).at(-1)?.progressDetail).toEqual({
      current: layers[1].length,
      total: layers[1].length,
    });
    expect(said.slice(-2)).toEqual([{ stream: "Loaded image: x:latest\n" }, { stream: "Loaded image: localhost:5000/y:1\n" }]);
    expect(bed.emitted).toEqual([`load ${image.id}`]);
    expect(bed.leftovers).toEqual([]);
    const again = await messages(bed.transfer.load(pieces(archive), { quiet: true }));
    expect(again).toEqual([{ stream: "Loaded image: x:latest\n" }, { stream: "Loaded image: localhost:5000/y:1\n" }]);
  });

  test("says an image without names by its id, and when a name moves", async () => {
    await using bed = new Testbed();
    const [base, top] = await twoLayers();
    await messages(bed.transfer.load(pieces(await dockerArchive(["x:1"], [base])), LOAD));
    const old = bed.deps.store.resolve("x:1");
    const said = await messages(bed.transfer.load(pieces(await dockerArchive(["x:1"], [base, top])), { quiet: true }));
    expect(said).toEqual([
      { stream: `The image x:1 already exists, renaming the old one with ID ${old.id} to empty string\n` },
      { stream: "Loaded image: x:1\n" },
    ]);
    const nameless = await messages(bed.transfer.load(pieces(await dockerArchive(null, [top])), { quiet: true }));
    expect(nameless).toEqual([{ stream: `Loaded image ID: ${digestOf(configOf([top]))}\n` }]);
  });

  for (const [name, pack] of [
    ["gzip", gzipSync],
    ["zstd", zstdCompressSync],
    ["xz", (data: Uint8Array) => spawnSync("xz", ["-0c"], { input: data, maxBuffer: 1 << 26 }).stdout],
  ] as const) {
    test(`reads an archive that is packed with ${name}`, async () => {
      await using bed = new Testbed();
      const archive = pack(await dockerArchive(["x:1"], await twoLayers()));
      await messages(bed.transfer.load(pieces(archive, 7777), LOAD));
      expect(bed.deps.store.resolve("x:1").layers.length).toBe(2);
    });
  }

  test("reads an OCI layout with several images, platforms and packed layers", async () => {
    await using bed = new Testbed();
    const [base, top] = await twoLayers();
    const files: Record<string, string | Uint8Array> = { "oci-layout": '{"imageLayoutVersion":"1.0.0"}' };
    const put = (data: Uint8Array, mediaType: string): object => {
      files[`blobs/sha256/${digestHex(digestOf(data))}`] = data;
      return { mediaType, digest: digestOf(data), size: data.length };
    };
    const manifest = (architecture: string, layer: Buffer): object => {
      const config = put(configOf([layer], { architecture }), MEDIA_TYPES.config);
      const data = Buffer.from(JSON.stringify({ schemaVersion: 2, config, layers: [put(gzipSync(layer), MEDIA_TYPES.layerGzip)] }));
      return { ...put(data, MEDIA_TYPES.manifest), platform: { os: "linux", architecture } };
    };
    const missing = {
      mediaType: MEDIA_TYPES.manifest,
      digest: `sha256:${"e".repeat(64)}`,
      size: 1,
      platform: { os: "linux", architecture: "s390x" },
    };
    const index = put(
      Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [manifest("arm64", base), manifest("amd64", top), missing] })),
      MEDIA_TYPES.index,
    );
    const single = manifest("amd64", base);
    files["index.json"] = JSON.stringify({
      schemaVersion: 2,
      manifests: [
        { ...index, annotations: { "io.containerd.image.name": "docker.io/library/multi:1" } },
        { ...single, annotations: { "org.opencontainers.image.ref.name": "single:2" } },
      ],
    });
    const archive = await collect(tarOf(files));
    await messages(bed.transfer.load(pieces(archive), LOAD));
    expect(bed.deps.store.resolve("multi:1").config.architecture).toBe("amd64");
    expect(bed.deps.store.resolve("single:2").config.rootfs.diff_ids).toEqual([digestOf(base)] as never);
    await messages(bed.transfer.load(pieces(archive), { quiet: true, platforms: ["linux/arm64"] }));
    expect(bed.deps.store.resolve("multi:1").config.architecture).toBe("arm64");
    await expect(messages(bed.transfer.load(pieces(archive), { quiet: true, platforms: ["linux/riscv64"] }))).rejects.toThrow(
      "no image of the archive is for the requested platform (linux/riscv64)",
    );
  });

  test("reads docker's format before manifests, and links between layers", async () => {
    await using bed = new Testbed();
    const [base, top] = await twoLayers();
    const [a, b] = ["a".repeat(64), "b".repeat(64)];
    const files: Record<string, string | Uint8Array> = {
      [`${a}/VERSION`]: "1.0",
      [`${a}/json`]: JSON.stringify({
        id: a,
        created: "2020-01-01T00:00:00Z",
        container_config: { Cmd: ["/bin/sh", "-c", "#(nop) ADD x"] },
      }),
      [`${a}/layer.tar`]: base,
      [`${b}/json`]: JSON.stringify({
        id: b,
        parent: a,
        created: "2020-01-01T00:00:01Z",
        architecture: "amd64",
        os: "linux",
        config: { Cmd: ["sh"] },
      }),
      [`${b}/layer.tar`]: top,
      repositories: JSON.stringify({ old: { "1": b } }),
    };
    await messages(bed.transfer.load(pieces(await collect(tarOf(files))), LOAD));
    const image = bed.deps.store.resolve("old:1");
    expect(image.config).toMatchObject({ config: { Cmd: ["sh"] }, history: [{ created_by: "/bin/sh -c #(nop) ADD x" }, {}] });
    expect(image.config.rootfs.diff_ids).toEqual([digestOf(base), digestOf(top)] as never);

    const tree = join(bed.root, "tree");
    mkdirSync(join(tree, "one"), { recursive: true });
    mkdirSync(join(tree, "two"));
    writeFileSync(join(tree, "one/layer.tar"), base);
    symlinkSync("../one/layer.tar", join(tree, "two/layer.tar"));
    const config = configOf([base, base]);
    writeFileSync(join(tree, "c.json"), config);
    writeFileSync(
      join(tree, "manifest.json"),
      JSON.stringify([{ Config: "c.json", RepoTags: ["twice:1"], Layers: ["one/layer.tar", "two/layer.tar"] }]),
    );
    run("tar", "-C", tree, "-cf", join(bed.root, "x.tar"), ".");
    await messages(bed.transfer.load(createReadStream(join(bed.root, "x.tar")), LOAD));
    expect(bed.deps.store.resolve("twice:1").layers.length).toBe(2);
  });

  const broken: readonly (readonly [string, (archive: Buffer) => Buffer | Promise<Buffer>, RegExp])[] = [
    ["nothing", () => Buffer.alloc(0), /^invalid archive: it is empty/],
    ["no tar", () => Buffer.alloc(4096, "x"), /tar/],
    ["a cut archive", (archive) => archive.subarray(0, archive.length - 100_000), /unexpected EOF/],
    ["cut gzip", (archive) => gzipSync(archive).subarray(0, 2000), /unexpected EOF/],
    ["no manifest", () => collect(tarOf({ x: "y" })), /^invalid archive: it has no manifest.json/],
    [
      "a null manifest",
      () => collect(tarOf({ "manifest.json": "null" })),
      /^invalid manifest, manifest cannot be null \(but can be \[\]\)$/,
    ],
    [
      "a manifest of a wrong form",
      () => collect(tarOf({ "manifest.json": '[{"Config":1}]' })),
      /^invalid archive: manifest.json has an item of a wrong form$/,
    ],
    [
      "a missing config",
      () => collect(tarOf({ "manifest.json": '[{"Config":"x.json","Layers":[]}]' })),
      /"x.json", named in manifest.json, is missing/,
    ],
    [
      "a name that is none",
      async () => dockerArchive(["X:1"], [(await twoLayers())[0]]),
      /^invalid reference format: repository name \(library\/X\) must be lowercase$/,
    ],
  ];
  for (const [name, make, message] of broken) {
    test(`refuses ${name} and leaves nothing`, async () => {
      await using bed = new Testbed();
      const archive = await make(await dockerArchive(["x:1"], await twoLayers()));
      const stream = await bed.transfer.load(pieces(archive), LOAD).catch((error: Error) => error.message);
      const said = typeof stream === "string" ? stream : (await Array.fromAsync(stream)).at(-1)?.error;
      expect(said).toMatch(message);
      expect([bed.leftovers, bed.layerCount, bed.deps.store.list()]).toEqual([[], 0, []]);
    });
  }

  test("refuses a layer of a wrong digest, by its name, also when its parent went well", async () => {
    await using bed = new Testbed();
    const [base, top] = await twoLayers();
    const other = await collect(tarOf({ evil: "evil" }));
    const archive = await dockerArchive(["x:1"], [base, top], (files) => {
      files[`blobs/sha256/${digestHex(digestOf(top))}`] = other;
    });
    const said = await messages(bed.transfer.load(pieces(archive), LOAD));
    expect(said.at(-1)?.error).toContain(`filesystem layer verification failed for digest ${digestOf(top)}`);
    expect(said.at(-1)?.errorDetail?.message).toBe(said.at(-1)?.error ?? "");
    expect([bed.layerCount, bed.leftovers]).toEqual([0, []]);
  });

  test("stops when its reader goes away", async () => {
    await using bed = new Testbed();
    const archive = await dockerArchive(["x:1"], await twoLayers());
    let isClosed = false;
    async function* endless(): AsyncGenerator<Uint8Array> {
      try {
        yield* pieces(archive.subarray(0, archive.length - 20_000));
        for (;;) {
          await Bun.sleep(5);
          yield new Uint8Array(512).fill(1);
        }
      } finally {
        isClosed = true;
      }
    }
    const abort = new AbortController();
    const loading = bed.transfer.load(endless(), { quiet: false, signal: abort.signal });
    abort.abort(new Error("gone"));
    await loading.then((stream) => Array.fromAsync(stream)).catch(() => {});
    expect([isClosed, bed.layerCount, bed.leftovers]).toEqual([true, 0, []]);
  });
});

describe("save()", () => {
  test("gives an archive that loads to the same ids, with shared layers once", async () => {
    await using bed = new Testbed();
    const base = await bed.add({ name: "base:1", second: 1 });
    const top = await bed.add({ name: "top:1", second: 2, parent: base, layers: [{ "etc/x": "x" }, { b: "b".repeat(2 << 20) }] });
    await bed.images.tag("top:1", { repo: "top", tag: "2" });
    const archive = await collect(await bed.transfer.save(["base", "top", top.id], {}));
    expect(bed.emitted.slice(1)).toEqual([`save ${base.id}`, `save ${top.id}`]);
    expect((await collect(await bed.transfer.save(["base", "top", top.id], {}))).equals(archive)).toBe(true);
    const file = join(bed.root, "saved.tar");
    writeFileSync(file, archive);
    const listed = run("tar", "-tf", file).trim().split("\n");
    expect(listed.slice(0, 6)).toEqual(["blobs/", "blobs/sha256/", "oci-layout", "index.json", "manifest.json", "repositories"]);
    expect(listed.filter((name) => name.endsWith(digestHex(base.config.rootfs.diff_ids[0] ?? base.id)))).toHaveLength(1);

    await using other = new Testbed();
    await messages(other.transfer.load(createReadStream(file), LOAD));
    expect(other.deps.store.list().map((i) => [i.id, i.names, i.parent])).toEqual(
      bed.deps.store.list().map((i) => [i.id, i.names, i.parent]),
    );
    expect((await collect(await other.transfer.save(["base", "top", top.id], {}))).equals(archive)).toBe(true);
  });

  test("saves an id without its names, and refuses what is not there in docker's words", async () => {
    await using bed = new Testbed();
    const image = await bed.add({ name: "x:1" });
    await using other = new Testbed();
    await messages(other.transfer.load(await bed.transfer.save([shortId(image.id)], {}), LOAD));
    expect(other.deps.store.get(image.id).names).toEqual([]);
    await expect(bed.transfer.save(["nope"], {})).rejects.toThrow("No such image: nope");
    await expect(bed.transfer.save(["nope:1"], {})).rejects.toThrow("reference does not exist");
    await expect(bed.transfer.save(["x:1"], { platforms: ["linux/arm64"] })).rejects.toThrow("is not available for the requested platform");
  });

  test.skipIf(!hasSkopeo)("is read by skopeo as docker archive and as OCI layout, and reads what skopeo writes", async () => {
    await using bed = new Testbed();
    const image = await bed.add({ name: "x:1", layers: [{ "etc/x": "x" }, { b: "b".repeat(2 << 20) }] });
    const file = join(bed.root, "saved.tar");
    writeFileSync(file, await collect(await bed.transfer.save(["x:1"], {})));
    const policy = ["--insecure-policy", "copy", "-q"];
    run("skopeo", ...policy, `docker-archive:${file}:x:1`, `oci:${bed.root}/oci:x:1`);
    run("skopeo", ...policy, `oci-archive:${file}:1`, `docker-archive:${bed.root}/back.tar:back:1`);
    run("skopeo", ...policy, `oci:${bed.root}/oci:x:1`, `oci-archive:${bed.root}/oci.tar:oci:1`);
    await using other = new Testbed();
    await messages(other.transfer.load(createReadStream(join(bed.root, "back.tar")), LOAD));
    await messages(other.transfer.load(createReadStream(join(bed.root, "oci.tar")), LOAD));
    for (const name of ["back:1", "oci:1"]) expect(other.deps.store.resolve(name).config.rootfs).toEqual(image.config.rootfs);
    expect(other.deps.store.resolve("back:1").id).toBe(image.id);
  });
});

describe("import()", () => {
  test("makes an image of one layer, with changes", async () => {
    await using bed = new Testbed();
    const options = { repo: "x", tag: "1", message: "", changes: ["CMD echo hi", "ENV A=1"], platform: "linux/arm64/v8" };
    const said = await messages(bed.transfer.import(pieces(gzipSync(await collect(tarOf({ a: "a" })))), options));
    const image = bed.deps.store.resolve("x:1");
    expect(said).toEqual([{ status: image.id }]);
    expect(image.config).toMatchObject({
      architecture: "arm64",
      comment: "Imported from -",
      config: { Cmd: ["/bin/sh", "-c", "echo hi"], Env: ["A=1"] },
      history: [{ comment: "Imported from -" }],
    });
    expect(bed.emitted).toEqual(["tag x:1", `import ${image.id}`]);
    await expect(messages(bed.transfer.import(pieces(new Uint8Array(0)), { ...options, changes: ["RUN x"] }))).rejects.toThrow(
      "RUN is not a valid change command",
    );
  });
});

describe("pull()", () => {
  test("makes distro/busybox once", async () => {
    await using bed = new Testbed();
    const both = await Promise.all([
      messages(bed.transfer.pull("distro/busybox", {})),
      messages(bed.transfer.pull("distro/busybox:latest", {})),
    ]);
    const image = bed.deps.store.resolve("distro/busybox");
    expect(image.config).toMatchObject({
      os: "linux",
      config: { Cmd: ["sh"], Env: [expect.stringContaining("PATH=")] },
      history: [{ created_by: "# busybox-static" }],
    });
    expect(both.map((said) => said.at(-1)?.status)).toEqual([
      "Status: Downloaded newer image for distro/busybox:latest",
      "Status: Image is up to date for distro/busybox:latest",
    ]);
    expect(bed.emitted).toEqual(["tag distro/busybox:latest", "pull distro/busybox", "pull distro/busybox"]);
    expect(bed.leftovers).toEqual([]);
  });

  test.skipIf(!hasMmdebstrap || process.getuid?.() !== 0)("leaves nothing when it is cancelled", async () => {
    await using bed = new Testbed();
    const abort = new AbortController();
    const said = [];
    for await (const message of await bed.transfer.pull("distro/debian:bookworm", { signal: abort.signal })) {
      said.push(message);
      if (message.id === "index") abort.abort(new Error("context canceled"));
    }
    expect(said.at(-1)?.error).toBe("context canceled");
    expect([bed.leftovers, bed.layerCount, bed.deps.store.list()]).toEqual([[], 0, []]);
  });

  test("says what to do about any other image", async () => {
    await using bed = new Testbed();
    await expect(bed.transfer.pull("alpine", {})).rejects.toThrow(/^No such image: alpine:latest: no registry is reachable/);
    await expect(messages(bed.transfer.pull("distro/busybox", { platform: "linux/s390x" }))).resolves.toMatchObject([
      {},
      { error: expect.stringContaining("does not provide the specified platform (linux/s390x)") },
    ]);
    await expect(bed.transfer.bootstrap({ source: "busybox", include: [], tags: [] })).rejects.toThrow("No such image: busybox:latest");
  });
});

test("bootstrap() tags what it makes, and refuses bad packages", async () => {
  await using bed = new Testbed();
  await messages(bed.transfer.bootstrap({ source: "distro/busybox", include: [], tags: ["mine", "other:2"] }));
  expect(bed.deps.store.list().map((image) => image.names)).toEqual([["mine:latest", "other:2"]]);
  const said = bed.transfer.bootstrap({ source: "distro/debian:bookworm", include: ["a;b"], tags: ["x"] });
  await expect(messages(said)).rejects.toThrow('invalid package name "a;b"');
  expect(bed.leftovers).toEqual([]);
  rmSync(bed.root, { recursive: true, force: true });
  expect(() => readFileSync(bed.root)).toThrow();
});
