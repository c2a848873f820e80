import type { DeviceRequest } from "../../spec/engine/mod.ts";
import { csvFields } from "../csv.ts";
import type { Kind } from "../flag-kinds.ts";

/** `all`, a number, or `driver=…,count=…,device=…,capabilities=…`. */
export const GPUS: Kind<readonly DeviceRequest[]> = {
  initial: [],
  word: "gpu-request",
  parse: (text, previous) => {
    let request: DeviceRequest = { Driver: "", Count: 0, DeviceIDs: null, Capabilities: [["gpu"]], Options: {} };
    for (const field of csvFields(text)) {
      const at = field.indexOf("=");
      const [key, value] = at < 0 ? ["count", field] : [field.slice(0, at), field.slice(at + 1)];
      if (key === "count") {
        if (value !== "all" && !/^-?\d+$/.test(value))
          throw new Error(`invalid count (${value}): value must be either "all" or an integer: invalid syntax`);
        request = { ...request, Count: value === "all" ? -1 : Number(value) };
      } else if (key === "driver") request = { ...request, Driver: value };
      else if (key === "device") request = { ...request, DeviceIDs: value.split(",") };
      else if (key === "capabilities") request = { ...request, Capabilities: [[...value.split(","), "gpu"]] };
      else throw new Error(`unexpected key '${key}' in '${field}'`);
    }
    return [...previous, request];
  },
};
