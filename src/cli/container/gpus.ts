import type { DeviceRequest } from "../../spec/engine/mod.ts";
import { csvFields } from "../csv.ts";
import type { Kind } from "../flag-kinds.ts";

function parseCount(text: string): number {
  if (text === "all") return -1;
  if (!/^[-+]?\d+$/.test(text)) throw new Error(`invalid count (${text}): value must be either "all" or an integer: invalid syntax`);
  return Number(text);
}

function parseOptions(text: string): Readonly<Record<string, string>> {
  let fields: readonly string[];
  try {
    fields = csvFields(text);
  } catch (cause) {
    throw new Error(`failed to read gpu options: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
  return Object.fromEntries(
    fields.map((field) => {
      const at = field.indexOf("=");
      return at < 0 ? [field, ""] : [field.slice(0, at), field.slice(at + 1)];
    }),
  );
}

/** What one field of a request says. */
function parseField(key: string, value: string | undefined): Partial<DeviceRequest> {
  if (value === undefined) return { Count: parseCount(key) };
  switch (key) {
    case "driver":
      return { Driver: value };
    case "count":
      return { Count: parseCount(value) };
    case "device":
      return { DeviceIDs: value.split(",") };
    case "capabilities":
      return { Capabilities: [[...value.split(","), "gpu"]] };
    case "options":
      return { Options: parseOptions(value) };
    default:
      throw new Error(`unexpected key '${key}' in '${key}=${value}'`);
  }
}

/** @throws Error in docker's words */
function parseRequest(text: string): DeviceRequest {
  const seen = new Set<string>();
  let said: Partial<DeviceRequest> = {};
  for (const field of csvFields(text)) {
    const at = field.indexOf("=");
    const [key, value] = at < 0 ? [field, undefined] : [field.slice(0, at), field.slice(at + 1)];
    if (seen.has(key)) throw new Error(`gpu request key '${key}' can be specified only once`);
    seen.add(key);
    if (value === undefined) seen.add("count");
    said = { ...said, ...parseField(key, value) };
  }
  // who asks for none in particular gets one
  const Count = said.DeviceIDs ? 0 : 1;
  return { Driver: "", Count, DeviceIDs: null, Capabilities: [["gpu"]], Options: {}, ...said };
}

/** `all`, a number, or `driver=…,count=…,device=…,capabilities=…,options=…`. */
export const GPUS: Kind<readonly DeviceRequest[]> = {
  initial: [],
  word: "gpu-request",
  parse: (text, previous) => [...previous, parseRequest(text)],
};
