import { expect, test } from "bun:test";
import { type EngineEvent, eventMatches } from "./events.ts";

const START: EngineEvent = {
  ...{ type: "container", action: "start", id: "abcdef0123" },
  attributes: { name: "web-1", image: "registry.test:5000/app:2", tier: "front" },
};
const CONNECT: EngineEvent = { type: "network", action: "connect", id: "net0", attributes: { name: "bridge", container: "abcdef0123" } };
const HEALTH: EngineEvent = { ...START, action: "health_status: healthy" };
const TAG: EngineEvent = { type: "image", action: "tag", id: "sha256:aa", attributes: { name: "app:2" } };

for (const [event, filters, isWanted] of [
  [START, {}, true],
  [START, { type: ["container", "image"] }, true],
  [START, { type: ["contain"] }, false],
  [START, { event: ["die", "start"] }, true],
  [START, { event: ["sta"] }, false],
  [START, { event: ["sta", "exec_create"] }, true],
  [HEALTH, { event: ["health_status"] }, true],
  [HEALTH, { event: ["health_status: healthy"] }, true],
  [HEALTH, { event: ["health_status: unhealthy"] }, false],
  [START, { container: ["web"] }, true],
  [START, { container: ["abc"] }, true],
  [START, { container: ["eb-1"] }, false],
  [CONNECT, { container: ["bri"] }, true],
  [CONNECT, { container: ["abcdef0123"] }, false],
  [START, { image: ["registry.test:5000/app:2"] }, true],
  [START, { image: ["registry.test:5000/app"] }, true],
  [START, { image: ["app"] }, false],
  [TAG, { image: ["app"] }, true],
  [TAG, { image: ["sha256:aa"] }, true],
  [START, { label: ["tier"] }, true],
  [START, { label: ["tier=front", "name"] }, true],
  [START, { label: ["tier=front", "nosuch"] }, false],
  [START, { scope: ["swarm"] }, false],
  [START, { plugin: ["web"] }, true],
  [START, { plugin: ["other"] }, false],
  [START, { service: ["other"] }, false],
  [START, { node: ["other"] }, false],
  [START, { secret: ["other"] }, false],
  [START, { config: ["other"] }, false],
  [START, { foo: ["x"] }, true],
] as const) {
  test(`eventMatches(): ${event.type} ${event.action} ${isWanted ? "passes" : "is held back by"} ${JSON.stringify(filters)}`, () => {
    expect(eventMatches(event, filters)).toBe(isWanted);
  });
}
