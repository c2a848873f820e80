import { isIP } from "node:net";

/** @throws Error in docker's words */
export function checkIp(text: string): string {
  const address = text.trim();
  if (isIP(address) === 0) throw new Error(`IP address is not correctly formatted: ${text}`);
  return address;
}

/** `.` or a domain. @throws Error in docker's words */
export function checkDnsSearch(text: string): string {
  const domain = text.trim();
  if (domain === ".") return domain;
  const isDomain = /[a-zA-Z]/.test(domain) && /^([\w-]+\.)*[\w-]+\.?$/.test(domain) && !/(^|\.)-/.test(domain) && domain.length < 255;
  if (!isDomain) throw new Error(`${domain} is not a valid domain`);
  return domain.replace(/\.$/, "");
}

/** `host:ip` or `host=ip`. @throws Error in docker's words */
export function checkHost(text: string): string {
  const equals = text.indexOf("=");
  const at = equals < 0 ? text.indexOf(":") : equals;
  if (at <= 0) throw new Error(`bad format for add-host: ${JSON.stringify(text)}`);
  const name = text.slice(0, at);
  let address = text.slice(at + 1);
  if (address.startsWith("[") && address.endsWith("]")) address = address.slice(1, -1);
  if (address !== "host-gateway" && isIP(address) === 0) throw new Error(`invalid IP address in add-host: ${JSON.stringify(address)}`);
  return `${name}:${address}`;
}

/** `name[:alias]` @throws Error in docker's words */
export function checkLink(text: string): string {
  if (text === "") throw new Error("empty string specified for links");
  const parts = text.split(":");
  if (parts.length > 2 || parts[0] === "") throw new Error(`bad format for links: ${text}`);
  return text;
}

/** `key` or `key=value` @throws Error in docker's words */
export function checkLabel(text: string): string {
  if (text === "" || text.startsWith("=")) throw new Error(`invalid label '${text}': empty name`);
  return text;
}

/** Six, eight or twenty bytes with colons, dashes or, in pairs, dots between them. @throws Error in docker's words */
export function checkMac(text: string): string {
  const address = text.trim();
  const isMac = [6, 8, 20].some((bytes) =>
    [
      `[0-9a-f]{2}(:[0-9a-f]{2}){${bytes - 1}}`,
      `[0-9a-f]{2}(-[0-9a-f]{2}){${bytes - 1}}`,
      `[0-9a-f]{4}(\\.[0-9a-f]{4}){${bytes / 2 - 1}}`,
    ].some((form) => new RegExp(`^${form}$`, "i").test(address)),
  );
  if (!isMac) throw new Error(`${text} is not a valid mac address`);
  return address;
}
