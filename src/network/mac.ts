import { DhowError } from "../lib/mod.ts";

/** Parses `02:42:ac:11:00:02`, also with dashes. @throws invalid docker's words */
export function parseMac(text: string): Uint8Array {
  if (!/^([0-9a-f]{2}[:-]){5}[0-9a-f]{2}$/i.test(text))
    throw new DhowError("invalid", `invalid MAC address: address ${text}: invalid MAC address`);
  return Uint8Array.from(text.split(/[:-]/), (part) => Number.parseInt(part, 16));
}
