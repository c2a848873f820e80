import { expect, test } from "bun:test";
import type { ContainerConfig } from "../../spec/engine/mod.ts";
import { commitConfig } from "./commit-config.ts";

const CONTAINER: ContainerConfig = {
  Hostname: "h",
  User: "u",
  Env: ["A=1", "B=1"],
  Cmd: ["date"],
  Entrypoint: ["env"],
  WorkingDir: "/w",
  Volumes: { "/v": {} },
  ExposedPorts: { "80/tcp": {} },
  Labels: { a: "1" },
  StopSignal: "SIGINT",
  Healthcheck: { Test: ["CMD", "x"], Interval: 5 },
  Image: "busybox",
};

test("commitConfig() without a request is the container's configuration", () => {
  expect(commitConfig(CONTAINER, undefined, [])).toEqual(CONTAINER);
});

test("commitConfig() fills in what the request leaves open", () => {
  expect(
    commitConfig(CONTAINER, { Env: ["B=2", "C=2"], Labels: { b: "2" }, Volumes: { "/x": {} }, Healthcheck: { Retries: 3 } }, []),
  ).toEqual({
    User: "u",
    Env: ["B=2", "C=2", "A=1"],
    Cmd: ["date"],
    Entrypoint: ["env"],
    WorkingDir: "/w",
    Volumes: { "/v": {}, "/x": {} },
    ExposedPorts: { "80/tcp": {} },
    Labels: { a: "1", b: "2" },
    StopSignal: "SIGINT",
    Healthcheck: { Test: ["CMD", "x"], Interval: 5, Retries: 3 },
  } as ContainerConfig);
});

test("commitConfig() drops the container's command for a new entrypoint, and not for an empty one", () => {
  expect(commitConfig(CONTAINER, undefined, ['ENTRYPOINT ["new"]'])).toMatchObject({ Entrypoint: ["new"], Cmd: null });
  expect(commitConfig(CONTAINER, undefined, ['ENTRYPOINT ["new"]', 'CMD ["c"]'])).toMatchObject({ Entrypoint: ["new"], Cmd: ["c"] });
  // as docker: what an instruction empties is filled in again
  expect(commitConfig(CONTAINER, undefined, ["ENTRYPOINT []"])).toMatchObject({ Entrypoint: ["env"], Cmd: ["date"] });
});

test("commitConfig() lets instructions see the variables of the configuration", () => {
  expect(commitConfig(CONTAINER, undefined, ["ENV C=$A", "WORKDIR sub"])).toMatchObject({
    Env: ["A=1", "B=1", "C=1"],
    WorkingDir: "/w/sub",
  });
});

test("commitConfig() refuses instructions that make no sense here", () => {
  for (const name of ["FROM", "RUN", "COPY", "ADD", "ARG", "SHELL", "MAINTAINER"])
    expect(() => commitConfig(CONTAINER, undefined, [`${name} x`])).toThrow(`${name} is not a valid change command`);
});
