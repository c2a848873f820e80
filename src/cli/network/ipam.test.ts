import { expect, test } from "bun:test";
import { type IpamOptions, ipamOf } from "./ipam.ts";

const NOTHING: IpamOptions = { driver: "default", options: {}, subnets: [], ranges: [], gateways: [], auxAddresses: {} };

test("ipamOf() puts ranges, gateways and other addresses to their subnets", () => {
  expect(
    ipamOf({
      ...NOTHING,
      options: { a: "b" },
      subnets: ["10.1.0.0/16", "fd00:1::/64"],
      ranges: ["fd00:1::8000/113", "10.1.9.0/24"],
      gateways: ["10.1.0.254", "fd00:1::fe"],
      auxAddresses: { router: "10.1.0.7", printer: "fd00:1::7" },
    }),
  ).toEqual({
    Driver: "default",
    Options: { a: "b" },
    Config: [
      { Subnet: "10.1.0.0/16", IPRange: "10.1.9.0/24", Gateway: "10.1.0.254", AuxiliaryAddresses: { router: "10.1.0.7" } },
      { Subnet: "fd00:1::/64", IPRange: "fd00:1::8000/113", Gateway: "fd00:1::fe", AuxiliaryAddresses: { printer: "fd00:1::7" } },
    ],
  });
  // the engine says what is wrong with a single one
  expect(ipamOf({ ...NOTHING, subnets: ["x"] }).Config).toEqual([{ Subnet: "x", AuxiliaryAddresses: {} }]);
});

test.each<readonly [Partial<IpamOptions>, string]>([
  [{ ranges: ["10.0.0.0/8"] }, "every ip-range or gateway must have a corresponding subnet"],
  [{ subnets: ["10.0.0.0/8", "10.1.0.0/16"] }, "multiple overlapping subnet configuration is not supported"],
  [{ subnets: ["10.0.0.0/8", "10.0.0.0/8"] }, "multiple overlapping subnet configuration is not supported"],
  [{ subnets: ["x", "y"] }, "invalid subnet: invalid CIDR address: y"],
  [{ subnets: ["10.0.0.0/33", "10.0.0.0/8"] }, "invalid CIDR address: 10.0.0.0/33"],
  [{ subnets: ["10.0.0.0/8"], ranges: ["x/1"] }, "invalid CIDR address: x/1"],
  [{ subnets: ["10.0.0.0/8"], gateways: ["x"] }, "no matching subnet for gateway x"],
  [{ subnets: ["10.0.0.0/8"], gateways: ["fd00::1"] }, "no matching subnet for gateway fd00::1"],
  [{ subnets: ["10.0.0.0/8"], auxAddresses: { a: "" } }, "no matching subnet for aux-address "],
  [
    { subnets: ["10.0.0.0/8", "11.0.0.0/8"], ranges: ["10.1.0.0/16", "10.2.0.0/16"] },
    "cannot configure multiple ranges (10.2.0.0/16, 10.1.0.0/16) on the same subnet (10.0.0.0/8)",
  ],
  [
    { subnets: ["10.0.0.0/8", "11.0.0.0/8"], gateways: ["10.0.0.1", "10.0.0.2"] },
    "cannot configure multiple gateways (10.0.0.2, 10.0.0.1) for the same subnet (10.0.0.0/8)",
  ],
])("ipamOf() refuses %j", (options, message) => {
  expect(() => ipamOf({ ...NOTHING, ...options })).toThrow(message);
});
