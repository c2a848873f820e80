/** What settings of the network say, in dockerd's forms. */
import { isIP } from "node:net";
import { invalid } from "./flags.ts";

/** `MARK[/MASK]`. @throws invalid in docker's words */
export function firewallMark(text: string): { readonly mark: number; readonly mask: number } | undefined {
  if (text === "") return undefined;
  const number = (part: string, what: string): number => {
    const value = /^(0x[0-9a-f]+|0b[01]+|0o?[0-7]+|[1-9][0-9]*|0)$/i.test(part) ? Number(part.replace(/^0(?=[0-7])/, "0o")) : Number.NaN;
    if (value <= 0xffffffff) return value;
    const why = Number.isNaN(value) ? "invalid syntax" : "value out of range";
    throw invalid(
      `invalid bridge-accept-fwmark: invalid firewall ${what} ${JSON.stringify(text)}: strconv.ParseUint: parsing ${JSON.stringify(part)}: ${why}`,
    );
  };
  const at = text.indexOf("/");
  if (at < 0) return { mark: number(text, "mark"), mask: 0xffffffff };
  return { mark: number(text.slice(0, at), "mark"), mask: number(text.slice(at + 1), "mask") };
}

/** At most one of each family. @throws invalid */
export function hostGatewayIps(texts: readonly string[]): readonly string[] {
  for (const text of texts) {
    if (isIP(text) === 0) throw invalid(`invalid host-gateway-ip: ${JSON.stringify(text)} is no IP address`);
  }
  for (const family of [4, 6]) {
    if (texts.filter((text) => isIP(text) === family).length > 1) {
      throw invalid(`only one IPv${family} host gateway IP address can be specified`);
    }
  }
  return texts;
}

/** `driver=option=value` of a flag, or the object of daemon.json. @throws invalid */
export function networkOptions(values: readonly string[]): Record<string, Record<string, string>> {
  const options: Record<string, Record<string, string>> = {};
  const add = (driver: string, key: string, value: string): void => {
    options[driver] = { ...options[driver], [key]: value };
  };
  for (const text of values) {
    if (text.startsWith("{")) {
      for (const [driver, own] of Object.entries(JSON.parse(text) as Record<string, Record<string, unknown>>)) {
        for (const [key, value] of Object.entries(own)) add(driver, key, String(value));
      }
      continue;
    }
    const [driver = "", key = "", ...rest] = text.split("=");
    if (driver === "" || key === "" || rest.length === 0) {
      throw invalid(`invalid argument ${JSON.stringify(text)} for "--default-network-opt" flag: must be driver=option=value`);
    }
    add(driver, key, rest.join("="));
  }
  return options;
}

/** Where ports of the default bridge are published that name no address. @throws invalid in docker's words */
export function hostIp(text: string): string {
  if (isIP(text) === 0) throw invalid(`invalid argument ${JSON.stringify(text)} for "--ip" flag: ${text} is not an ip address`);
  return text;
}

/** One address of the flag's family, or none. @throws invalid in docker's words */
export function gateways(flag: string, text: string): readonly string[] {
  if (text === "") return [];
  if (isIP(text) !== (flag.endsWith("-v6") ? 6 : 4)) {
    throw invalid(`invalid argument ${JSON.stringify(text)} for "--${flag}" flag: ${text} is not an ip address`);
  }
  return [text];
}
