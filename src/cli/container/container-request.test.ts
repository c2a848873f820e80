import { describe, expect, test } from "bun:test";
import { parseFlags } from "../flags.ts";
import { CONTAINER_FLAGS } from "./container-flags.ts";
import { type ContainerFlags, containerRequest } from "./container-request.ts";

function request(...argv: readonly string[]): ReturnType<typeof containerRequest> {
  const { values, changed } = parseFlags(CONTAINER_FLAGS, argv, false);
  return containerRequest({ flags: values as ContainerFlags, changed, image: "busybox", args: [], isDetached: false });
}

describe("containerRequest()", () => {
  test("says by labels what docker's API has no fields for", () => {
    const flags = ["--net-rate=10mbit", "--net-delay=80ms", "--net-jitter=5ms", "--net-loss=1%", "--egress=learn"];
    expect(request(...flags, "--egress-allow=example.org", "--egress-allow=10.0.0.0/8,192.0.2.1", "--label=a=b").Labels).toEqual({
      a: "b",
      "dhow.net.rate": "10mbit",
      "dhow.net.delay": "80ms",
      "dhow.net.jitter": "5ms",
      "dhow.net.loss": "1%",
      "dhow.egress": "learn",
      "dhow.egress.allow": "example.org,10.0.0.0/8,192.0.2.1",
    });
    expect(request("--egress-allow=").Labels).toEqual({ "dhow.egress.allow": "" });
    expect(request().Labels).toEqual({});
  });

  test("says of a port who may use it", () => {
    const { Labels, HostConfig } = request("-p=8080:80,allow=10.0.0.0/8,192.0.2.7", "-p=9000-9001:9000-9001/udp,allow=::1", "-p=81");
    expect(Labels).toEqual({
      "dhow.port.80/tcp.allow": "10.0.0.0/8,192.0.2.7/32",
      "dhow.port.9000/udp.allow": "::1/128",
      "dhow.port.9001/udp.allow": "::1/128",
    });
    expect(Object.keys(HostConfig?.PortBindings ?? {})).toEqual(["80/tcp", "9000/udp", "9001/udp", "81/tcp"]);
    expect(() => request("-p=80:80,allow=x")).toThrow('invalid address "x"');
    const twice = ["-p=8080:80,allow=10.0.0.0/8", "-p=8081:80,allow=::/0"];
    expect(() => request(...twice)).toThrow("conflicting options: two lists of sources for port 80/tcp");
  });

  test.each([
    ["--net-rate=fast", 'invalid rate "fast"'],
    ["--net-delay=5", 'invalid delay "5"'],
    ["--net-loss=1", 'invalid loss "1"'],
    ["--egress=off", 'invalid mode "off"'],
    ["--egress-allow=10.0.0.0/40", 'invalid address "10.0.0.0/40"'],
  ])("refuses %s", (flag, message) => {
    expect(() => request(flag)).toThrow(message);
  });

  test("has an endpoint for each network, and none for a single one of which nothing is said", () => {
    expect(request("--network=a").NetworkingConfig).toEqual({ EndpointsConfig: {} });
    expect(request("--network=a").HostConfig?.NetworkMode).toBe("a");
    expect(
      request("--network=name=a,ip=10.1.0.5,gw-priority=7", "--network=b", "--network-alias=w", "--link=x:y").NetworkingConfig,
    ).toEqual({
      EndpointsConfig: {
        a: { IPAMConfig: { IPv4Address: "10.1.0.5" }, GwPriority: 7, Aliases: ["w"], Links: ["x:y"] },
        b: {},
      },
    });
    expect(request("--mac-address=02:00:00:00:00:01").NetworkingConfig).toEqual({
      EndpointsConfig: { default: { MacAddress: "02:00:00:00:00:01" } },
    });
  });
});
