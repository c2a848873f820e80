import { describe, expect, test } from "bun:test";
import { createRequest } from "./create-request.ts";

describe("createRequest()", () => {
  const seen = new Set(["Config"]);

  test("needs a configuration", () => {
    expect(() => createRequest({ value: {}, seen: new Set() }, [1, 56])).toThrow("config cannot be empty in order to create a container");
  });

  test("fills in what older versions had as default and drops what they didn't know", () => {
    const value = {
      Image: "b",
      HostConfig: {
        PidsLimit: -1,
        ConsoleSize: [1, 2],
        Annotations: { a: "b" },
        Mounts: [{ Type: "bind", ReadOnly: true, BindOptions: { NonRecursive: true, CreateMountpoint: true } }],
      },
    };
    expect(createRequest({ value, seen }, [1, 39]).request.HostConfig).toEqual({
      NetworkMode: "bridge",
      IpcMode: "shareable",
      Mounts: [{ Type: "bind", ReadOnly: true, BindOptions: { ReadOnlyNonRecursive: true } }],
    });
    expect(createRequest({ value, seen }, [1, 56]).request.HostConfig).toMatchObject({ ConsoleSize: [1, 2], Annotations: { a: "b" } });
  });

  test("refuses options that the mount's type or the version doesn't have", () => {
    const create = (mount: object, minor: number): unknown =>
      createRequest({ value: { Image: "b", HostConfig: { Mounts: [mount] } }, seen }, [1, minor]).request.HostConfig?.Mounts?.[0];
    const tmpfs = { Type: "tmpfs", Target: "/t", BindOptions: {} };
    expect(create(tmpfs, 41)).toEqual({ Type: "tmpfs", Target: "/t" });
    expect(() => create(tmpfs, 42)).toThrow('BindOptions must not be specified on mount type "tmpfs"');
    expect(() => create({ Type: "volume", VolumeOptions: { Subpath: "a" } }, 44)).toThrow("VolumeOptions.Subpath needs API v1.45 or newer");
    expect(() => create({ Type: "image" }, 47)).toThrow('Mount type "Image" needs API v1.48 or newer');
  });

  test("names the default network and takes one endpoint before 1.44", () => {
    const value = {
      Image: "b",
      HostConfig: { NetworkMode: "default" },
      NetworkingConfig: { EndpointsConfig: { default: { Aliases: ["a"] } } },
    };
    const { request } = createRequest({ value, seen }, [1, 56]);
    expect(request.HostConfig?.NetworkMode).toBe("bridge");
    expect(request.NetworkingConfig).toEqual({ EndpointsConfig: { bridge: { Aliases: ["a"] } } });
    const two = { ...value, NetworkingConfig: { EndpointsConfig: { a: {}, b: {} } } };
    expect(() => createRequest({ value: two, seen }, [1, 43])).toThrow("Container cannot be created with multiple network endpoints: a, b");
  });

  test("moves the container's MAC address to its endpoint", () => {
    const value = { Image: "b", MacAddress: "02:00" };
    const old = createRequest({ value, seen }, [1, 43]);
    expect(old.request.NetworkingConfig).toEqual({ EndpointsConfig: { bridge: { MacAddress: "02:00" } } });
    expect(old.warnings).toEqual([]);
    expect(createRequest({ value, seen }, [1, 44]).warnings).toHaveLength(1);
    const newest = createRequest({ value, seen }, [1, 52]);
    expect(newest.request).not.toHaveProperty("MacAddress");
    expect(newest.request.NetworkingConfig).toEqual({ EndpointsConfig: {} });
    expect(() => createRequest({ value: { ...value, HostConfig: { NetworkMode: "host" } }, seen }, [1, 43])).toThrow(
      "conflicting options: mac-address and the network mode",
    );
  });
});
