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
      NetworkMode: "default",
      IpcMode: "shareable",
      Mounts: [{ Type: "bind", ReadOnly: true, BindOptions: { ReadOnlyNonRecursive: true } }],
    });
    expect(createRequest({ value, seen }, [1, 56]).request.HostConfig).toMatchObject({ ConsoleSize: [1, 2], Annotations: { a: "b" } });
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
