import { describe, expect, test } from "bun:test";
import * as versions from "./versions.ts";

const container = {
  Id: "0123456789abcdef",
  State: { Running: true },
  HostConfig: { NetworkMode: "default" },
  Config: { Image: "busybox" },
  ImageManifestDescriptor: { digest: "sha256:0" },
  NetworkSettings: {
    SandboxID: "s",
    Ports: {},
    Networks: {
      bridge: {
        IPAddress: "172.17.0.2",
        IPPrefixLen: 16,
        Gateway: "172.17.0.1",
        MacAddress: "02:42",
        EndpointID: "e",
        DNSNames: null,
        GwPriority: 0,
      },
      mine: { Aliases: ["web"], DNSNames: ["web"], GwPriority: 0 },
    },
  },
};

describe("checkVersion()", () => {
  test("takes 1.24 to 1.56 and no version for the newest", () => {
    expect(versions.checkVersion("1.24")).toEqual([1, 24]);
    expect(versions.checkVersion("1.56")).toEqual([1, 56]);
    expect(versions.checkVersion("")).toEqual([1, 56]);
  });

  test("names both versions otherwise", () => {
    expect(() => versions.checkVersion("1.23")).toThrow(
      "client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version",
    );
    expect(() => versions.checkVersion("1.57")).toThrow("client version 1.57 is too new. Maximum supported API version is 1.56");
    expect(() => versions.checkVersion("2.0")).toThrow("too new");
    expect(() => versions.checkVersion("1.2.3")).toThrow("too old");
  });
});

test("splitVersion() cuts only versions", () => {
  expect(versions.splitVersion("/v1.41/info")).toEqual({ version: "1.41", path: "/info" });
  expect(versions.splitVersion("/volumes/x")).toEqual({ version: "", path: "/volumes/x" });
  expect(versions.splitVersion("/version")).toEqual({ version: "", path: "/version" });
  expect(versions.splitVersion("/vx.1/info")).toEqual({ version: "", path: "/vx.1/info" });
});

describe("containerInspect()", () => {
  test("gives the newest as it is", () => expect(versions.containerInspect(container, [1, 52])).toBe(container));

  test("repeats the default network at the top before 1.52", () => {
    expect(versions.containerInspect(container, [1, 50])).toMatchObject({
      Config: { OnBuild: null },
      ImageManifestDescriptor: { digest: "sha256:0" },
      NetworkSettings: {
        Bridge: "",
        HairpinMode: false,
        SecondaryIPAddresses: null,
        IPAddress: "172.17.0.2",
        Gateway: "172.17.0.1",
        MacAddress: "02:42",
      },
    });
  });

  test("hides what a version didn't have", () => {
    const old = versions.containerInspect(container, [1, 43]) as typeof container;
    expect(old).not.toHaveProperty("ImageManifestDescriptor");
    expect(old.NetworkSettings.Networks.mine).toEqual({ Aliases: ["web", "0123456789ab"] } as never);
    expect(versions.containerInspect(container, [1, 44])).toHaveProperty("NetworkSettings.Networks.mine.DNSNames");
  });
});

test("containerSummary() hides health, annotations and descriptors from older clients", () => {
  const summary = {
    Id: "a",
    Health: { Status: "none" },
    ImageManifestDescriptor: { digest: "x" },
    HostConfig: { NetworkMode: "bridge", Annotations: { a: "b" } },
    NetworkSettings: { Networks: { bridge: { GwPriority: 0, IPAddress: "x" } } },
  };
  expect(versions.containerSummary(summary, [1, 56])).toBe(summary);
  expect(versions.containerSummary(summary, [1, 41])).toEqual({
    Id: "a",
    HostConfig: { NetworkMode: "bridge" },
    NetworkSettings: { Networks: { bridge: { IPAddress: "x" } } },
  });
});

describe("images", () => {
  const summary = { Id: "i", RepoTags: [], RepoDigests: [], Size: 5, Containers: 2, Descriptor: { digest: "x" }, Manifests: [] };

  test("imageSummary() shows what each version had", () => {
    expect(versions.imageSummary(summary, [1, 51])).toEqual(summary);
    expect(versions.imageSummary(summary, [1, 50])).toEqual({ ...summary, Containers: -1 });
    expect(versions.imageSummary(summary, [1, 42])).toEqual({
      Id: "i",
      RepoTags: ["<none>:<none>"],
      RepoDigests: ["<none>@<none>"],
      Size: 5,
      VirtualSize: 5,
      Containers: -1,
    });
  });

  test("imageInspect() shows what each version had", () => {
    const inspect = { Id: "i", Size: 5, Config: { Cmd: ["sh"] } };
    expect(versions.imageInspect(inspect, [1, 52])).toEqual({ ...inspect, RepoTags: [], RepoDigests: [] });
    expect(versions.imageInspect(inspect, [1, 50])).toMatchObject({ Parent: "", Author: "", Config: { Cmd: ["sh"], Env: null, User: "" } });
    expect(versions.imageInspect(inspect, [1, 50])).not.toHaveProperty("Config.Hostname");
    expect(versions.imageInspect(inspect, [1, 43])).toMatchObject({
      VirtualSize: 5,
      Created: "0001-01-01T00:00:00Z",
      Container: "",
      Config: { Hostname: "" },
    });
  });
});

test("hasEvent() leaves the creation of images out before 1.46", () => {
  const created = { Type: "image", Action: "create" } as const;
  expect([45, 46].map((minor) => versions.hasEvent(created, [1, minor]))).toEqual([false, true]);
  expect(versions.hasEvent({ Type: "container", Action: "create" }, [1, 24])).toBe(true);
});

test("eventMessage() repeats status, id and from before 1.52", () => {
  const event = { Type: "container", Action: "die", Actor: { ID: "c", Attributes: { image: "b" } } };
  expect(versions.eventMessage(event, [1, 52])).toBe(event);
  expect(versions.eventMessage(event, [1, 51])).toEqual({ status: "die", id: "c", from: "b", ...event });
  const network = { Type: "network", Action: "connect" };
  expect(versions.eventMessage(network, [1, 41])).toBe(network);
});

test("systemInfo() hides and adds by version", () => {
  const info = {
    NRI: { Info: [] },
    DiscoveredDevices: [],
    FirewallBackend: { Driver: "nftables" },
    RuncCommit: { ID: "r" },
    Containerd: { Address: "x" },
    CDISpecDirs: [],
    Runtimes: { crun: { path: "crun", status: {} } },
    KernelVersion: "",
  };
  expect(versions.systemInfo(info, [1, 53])).toEqual(info);
  expect(versions.systemInfo(info, [1, 38])).toEqual({
    BridgeNfIptables: false,
    BridgeNfIp6tables: false,
    ContainerdCommit: { Expected: "" },
    RuncCommit: { ID: "r", Expected: "r" },
    InitCommit: { Expected: "" },
    Runtimes: { crun: { path: "crun" } },
    KernelVersion: "<unknown>",
    OperatingSystem: "<unknown>",
  });
});

test("diskUsage() gives lists before 1.52, sums since then", () => {
  const df = {
    LayersSize: 100,
    Images: [
      { Id: "a", Size: 60, SharedSize: 10, Containers: 1 },
      { Id: "b", Size: 50, SharedSize: 10, Containers: 0 },
    ],
    Containers: [
      { Id: "c", State: "running", SizeRw: 3 },
      { Id: "d", State: "exited", SizeRw: 4 },
    ],
    Volumes: [{ Name: "v", UsageData: { Size: 7, RefCount: 0 } }],
    BuildCache: [],
  };
  const types = versions.DISK_USAGE_TYPES;
  expect(versions.diskUsage(df, [1, 51], { types, verbose: false })).toEqual(df);
  expect(versions.diskUsage(df, [1, 41], { types, verbose: false })).toHaveProperty("BuilderSize", 0);
  expect(versions.diskUsage(df, [1, 53], { types, verbose: false })).toEqual({
    ...df,
    // what the image that nobody uses has for itself
    ImageUsage: { ActiveCount: 1, TotalCount: 2, Reclaimable: 40, TotalSize: 100 },
    ContainerUsage: { ActiveCount: 1, TotalCount: 2, Reclaimable: 4, TotalSize: 7 },
    VolumeUsage: { ActiveCount: 0, TotalCount: 1, Reclaimable: 7, TotalSize: 7 },
    BuildCacheUsage: { ActiveCount: 0, TotalCount: 0, Reclaimable: 0, TotalSize: 0 },
  });
  const both = versions.diskUsage(df, [1, 52], { types: ["volume"], verbose: false });
  expect(Object.keys(both).sort()).toEqual(["BuildCache", "Containers", "Images", "LayersSize", "VolumeUsage", "Volumes"]);
  expect(versions.diskUsage(df, [1, 52], { types: ["volume"], verbose: true })).toEqual({
    VolumeUsage: { ActiveCount: 0, TotalCount: 1, Reclaimable: 7, TotalSize: 7, Items: df.Volumes },
  });
  expect(versions.diskUsage({ ...df, Volumes: [] }, [1, 52], { types: ["volume"], verbose: true })).toEqual({
    VolumeUsage: { ActiveCount: 0, TotalCount: 0, Reclaimable: 0, TotalSize: 0 },
  });
});

test("networkSummary() has no containers since 1.52, and what IPv4 is since 1.48", () => {
  const network = { Name: "n", EnableIPv4: true, EnableIPv6: false };
  expect(versions.networkSummary(network, [1, 52])).toEqual(network);
  expect(versions.networkSummary(network, [1, 51])).toEqual({ ...network, Containers: {} });
  expect(versions.networkSummary(network, [1, 47])).toEqual({ Name: "n", EnableIPv6: false, Containers: {} });
});

test("containerInspect() shows the MAC address that was asked for before 1.52", () => {
  const inspect = { Id: "c", Config: { Image: "b", MacAddress: "02:00:00:00:00:01" } };
  expect(versions.containerInspect(inspect, [1, 51])).toHaveProperty("Config.MacAddress", "02:00:00:00:00:01");
  expect(versions.containerInspect(inspect, [1, 52])).toEqual({ Id: "c", Config: { Image: "b" } });
});
