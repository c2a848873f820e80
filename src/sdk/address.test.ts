import { expect, test } from "bun:test";
import { parseAddress } from "./address.ts";
import { sshCommand } from "./wire-ssh.ts";

test("parseAddress() knows docker's default ports", () => {
  expect(parseAddress("tcp://host")).toMatchObject({ kind: "tcp", host: "host", port: 2375 });
  expect(parseAddress("tcp://host", true)).toMatchObject({ port: 2376 });
  expect(parseAddress("https://[::1]:99/base/", true)).toMatchObject({ host: "::1", port: 99, basePath: "/base" });
});

test("parseAddress() takes an ssh address apart", () => {
  expect(parseAddress("ssh://me@[fe80::1]:22/run/d.sock")).toEqual({
    kind: "ssh",
    user: "me",
    host: "fe80::1",
    port: "22",
    path: "/run/d.sock",
    text: "ssh://me@[fe80::1]:22/run/d.sock",
  });
  expect(parseAddress("ssh://host/")).toMatchObject({ user: "", port: "", path: "" });
});

test("parseAddress() refuses ssh addresses in docker's words", () => {
  const refusal = (text: string): string => {
    try {
      parseAddress(text);
    } catch (error) {
      return (error as Error).message.replace("ssh host connection is not valid: invalid SSH URL: ", "");
    }
    return "";
  };
  expect(refusal("ssh://me:secret@host")).toBe("plain-text password is not supported");
  expect(refusal("ssh://:22")).toBe("hostname is empty");
  expect(refusal("ssh://host?a=b")).toBe('query parameters are not allowed: "a=b"');
  expect(refusal("ssh://host#x")).toBe('fragments are not allowed: "x"');
});

test("sshCommand() lets no part of an address become an option or a command", () => {
  const address = parseAddress("ssh://-oProxyCommand=x@host:2/tmp/it's;here");
  if (address.kind !== "ssh") throw new Error("no ssh address");
  const command = sshCommand(address);
  expect(command.slice(0, -1)).toEqual(["ssh", "-l", "-oProxyCommand=x", "-p", "2", "-o", "ConnectTimeout=30", "-T", "--", "host"]);
  // the words that a shell on the other side makes of it
  const echo = Bun.spawnSync([
    "sh",
    "-c",
    `PATH=/nowhere; docker() { /usr/bin/printf '<%s>' "$@"; }; ${(command.at(-1) ?? "").replace("sh -c ", "eval ").replaceAll("exec ", "")}`,
  ]);
  expect(echo.stdout.toString()).toBe("<--host><unix:///tmp/it's;here><system><dial-stdio>");
});
