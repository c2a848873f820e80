import { expect, test } from "bun:test";
import { type LinkedContainer, linkEnvironment, linkHostNames, parseLink, withLinkAddress } from "./links.ts";

const web: LinkedContainer = {
  alias: "my-w",
  name: "web",
  hostname: "0123456789ab",
  ipAddress: "172.17.0.2",
  env: ["PATH=/bin", "HOME=/root", "A=1=2", "GONE"],
  exposedPorts: ["8080/tcp", "80/udp", "80/tcp"],
};

test("parseLink() takes name, name:alias and what inspect shows", () => {
  expect(parseLink("web")).toEqual({ name: "web", alias: "web" });
  expect(parseLink("web:w")).toEqual({ name: "web", alias: "w" });
  expect(parseLink("/web:/me/w")).toEqual({ name: "web", alias: "w" });
  expect(() => parseLink("a:b:c")).toThrow("bad format for links: a:b:c");
  expect(() => parseLink("")).toThrow("empty string specified for links");
});

test("linkEnvironment() names ports, lowest first, and the environment without PATH and HOME", () => {
  expect(linkEnvironment("me", web)).toEqual([
    "MY_W_PORT=tcp://172.17.0.2:80",
    "MY_W_PORT_80_TCP=tcp://172.17.0.2:80",
    "MY_W_PORT_80_TCP_ADDR=172.17.0.2",
    "MY_W_PORT_80_TCP_PORT=80",
    "MY_W_PORT_80_TCP_PROTO=tcp",
    "MY_W_PORT_80_UDP=udp://172.17.0.2:80",
    "MY_W_PORT_80_UDP_ADDR=172.17.0.2",
    "MY_W_PORT_80_UDP_PORT=80",
    "MY_W_PORT_80_UDP_PROTO=udp",
    "MY_W_PORT_8080_TCP=tcp://172.17.0.2:8080",
    "MY_W_PORT_8080_TCP_ADDR=172.17.0.2",
    "MY_W_PORT_8080_TCP_PORT=8080",
    "MY_W_PORT_8080_TCP_PROTO=tcp",
    "MY_W_NAME=/me/my-w",
    "MY_W_ENV_A=1=2",
  ]);
  expect(linkEnvironment("me", { ...web, alias: "w", env: [], exposedPorts: [] })).toEqual(["W_NAME=/me/w"]);
});

test("linkEnvironment() gives start and end of three and more ports in a row", () => {
  const env = linkEnvironment("me", { ...web, alias: "w", exposedPorts: ["11/tcp", "5/tcp", "12/tcp", "10/tcp", "6/tcp"] });
  expect(env.filter((entry) => /_(START|END)=/.test(entry))).toEqual([
    "W_PORT_10_TCP_START=tcp://172.17.0.2:10",
    "W_PORT_10_TCP_PORT_START=10",
    "W_PORT_10_TCP_END=tcp://172.17.0.2:12",
    "W_PORT_10_TCP_PORT_END=12",
  ]);
});

test("linkHostNames() has alias, host name and name once; withLinkAddress() changes that line alone", () => {
  expect(linkHostNames({ ...web, alias: "web" })).toBe("web 0123456789ab");
  const names = linkHostNames(web);
  expect(names).toBe("my-w 0123456789ab web");
  const hosts = `127.0.0.1\tlocalhost\n172.17.0.2\t${names}\n172.17.0.3\tme\n`;
  expect(withLinkAddress(hosts, names, "172.17.0.9")).toBe(`127.0.0.1\tlocalhost\n172.17.0.9\t${names}\n172.17.0.3\tme\n`);
  expect(withLinkAddress(hosts, "other", "172.17.0.9")).toBe(hosts);
});
