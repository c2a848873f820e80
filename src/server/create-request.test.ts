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
      Mounts: [{ Type: "bind", ReadOnly: true, BindOptions: {} }],
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

  test("passes several endpoints on, with priorities since 1.48", () => {
    const first = { Aliases: ["a"], IPAMConfig: { IPv4Address: "10.1.0.5", LinkLocalIPs: ["169.254.8.8"] }, GwPriority: 7 };
    const value = {
      Image: "b",
      HostConfig: { NetworkMode: "one" },
      NetworkingConfig: { EndpointsConfig: { one: first, two: { DriverOpts: { a: "b" }, Links: ["c:d"] } } },
    };
    const endpoints = (minor: number) => createRequest({ value, seen }, [1, minor]).request.NetworkingConfig?.EndpointsConfig;
    expect(endpoints(48)).toEqual(value.NetworkingConfig.EndpointsConfig);
    expect(endpoints(44)).toEqual({ one: { ...first, GwPriority: 0 }, two: { DriverOpts: { a: "b" }, Links: ["c:d"] } });
  });

  test("gives the container's MAC address to the network it is meant for", () => {
    const create = (minor: number, endpoints: object, mac = "02:00:00:00:00:0a") =>
      createRequest(
        {
          value: { Image: "b", MacAddress: mac, HostConfig: { NetworkMode: "one" }, NetworkingConfig: { EndpointsConfig: endpoints } },
          seen,
        },
        [1, minor],
      ).request.NetworkingConfig?.EndpointsConfig;
    const MacAddress = "02:00:00:00:00:0a";
    expect(create(43, { "0123": { Aliases: ["a"] } })).toEqual({ "0123": { Aliases: ["a"], MacAddress } });
    expect(create(51, { one: { MacAddress: "02:00:00:00:00:0A" }, two: {} })).toEqual({ one: { MacAddress }, two: {} });
    expect(() => create(51, { two: {} })).toThrow(
      "unable to migrate container-wide MAC address to a specific network: HostConfig.NetworkMode",
    );
    expect(() => create(51, { one: { MacAddress: "02:00:00:00:00:0b" } })).toThrow("must match the endpoint-specific MAC address");
    expect(create(43, { one: { MacAddress } }, "")).toEqual({ one: { MacAddress: "" } });
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

  test("moves sysctls of eth0 to the main endpoint before 1.48", () => {
    const name = "net.ipv4.conf.eth0.rp_filter";
    const create = (minor: number, sysctls: Record<string, string>, host: object = {}, endpoints: object = {}) =>
      createRequest(
        { value: { Image: "b", HostConfig: { Sysctls: sysctls, ...host }, NetworkingConfig: { EndpointsConfig: endpoints } }, seen },
        [1, minor],
      );
    const option = "com.docker.network.endpoint.sysctls";
    const moved = create(
      47,
      { [name]: "1", "net.core.somaxconn": "9" },
      { NetworkMode: "one" },
      { one: { DriverOpts: { [option]: "mine" } } },
    );
    expect(moved.request.HostConfig?.Sysctls).toEqual({ "net.core.somaxconn": "9" });
    expect(moved.request.NetworkingConfig?.EndpointsConfig).toEqual({
      one: { DriverOpts: { [option]: "net.ipv4.conf.IFNAME.rp_filter=1,mine" } },
    });
    expect(moved.warnings).toEqual([`Migrated sysctl "${name}" to DriverOpts{"${option}":"net.ipv4.conf.IFNAME.rp_filter=1"}.`]);
    expect(create(41, { [name]: "1" }).request.NetworkingConfig?.EndpointsConfig).toEqual({
      bridge: { DriverOpts: { [option]: "net.ipv4.conf.IFNAME.rp_filter=1" } },
    });
    expect(create(48, { [name]: "1" }, { NetworkMode: "host" }).request.HostConfig?.Sysctls).toEqual({ [name]: "1" });
    expect(() => create(48, { [name]: "1" })).toThrow(
      `interface specific sysctl setting "${name}" must be supplied using driver option '${option}'`,
    );
    expect(() => create(47, { "net.ipv4.conf.eth1.rp_filter": "1" })).toThrow(
      "unable to determine network endpoint for sysctl net.ipv4.conf.eth1.rp_filter",
    );
    expect(() => create(47, { [name]: "1" }, { NetworkMode: "one" }, { two: {} })).toThrow(
      `unable to find a network for sysctl ${name}: HostConfig.NetworkMode must match`,
    );
  });

  test("takes an empty list of port bindings for any port, since 1.52 with a warning", () => {
    const bindings = { "80/tcp": [], "81/tcp": [{ HostPort: "8081" }] };
    const create = (minor: number) => createRequest({ value: { Image: "b", HostConfig: { PortBindings: bindings } }, seen }, [1, minor]);
    for (const minor of [51, 52, 53, 56]) {
      expect(create(minor).request.HostConfig?.PortBindings).toEqual({
        "80/tcp": [{ HostIp: "", HostPort: "" }],
        "81/tcp": [{ HostPort: "8081" }],
      });
    }
    for (const minor of [52, 56]) {
      expect(create(minor).warnings).toEqual([
        "Following container port(s) have an empty list of port-bindings: 80/tcp. Such bindings will be discarded in a future version.",
      ]);
    }
    expect(create(51).warnings).toEqual([]);
  });

  test("warns of a volume driver that mounts don't have", () => {
    const host = { VolumeDriver: "x", Mounts: [{ Type: "volume", Target: "/v" }] };
    const create = (minor: number) => createRequest({ value: { Image: "b", HostConfig: host }, seen }, [1, minor]).warnings;
    expect(create(48)).toEqual([expect.stringContaining("the container-wide volume-driver configuration is ignored")]);
    expect(create(47)).toEqual([]);
  });
});
