import { DhowError, errorMessage, type Logger } from "../../lib/mod.ts";
import type { DeviceRequest } from "../../spec/engine/mod.ts";
import type { OciSpec } from "../../spec/oci-runtime/mod.ts";
import { NO_EDITS } from "./document.ts";
import { applyEdits } from "./edits.ts";
import type { CdiDevices } from "./registry.ts";

/** Changes a configuration so that the container has a device. @throws internal when it can't have it */
export type SpecEdit = (spec: OciSpec) => OciSpec;

/** What device requests are answered from. */
export interface DeviceSources {
  /** Undefined: the interface is switched off. */
  readonly cdi: CdiDevices | undefined;
  /** Where a program of the host is. */
  readonly findProgram: (name: string) => string | undefined;
  readonly log: Logger;
}

type Requested = Required<{ readonly [K in keyof DeviceRequest]: NonNullable<DeviceRequest[K]> }>;

/** What answers requests that name it, or that ask for no more than what it is capable of. */
interface DeviceDriver {
  readonly capabilities: readonly string[];
  /** @param selected the capabilities, of those asked for, that the driver was chosen by */
  edit(spec: OciSpec, request: Requested, selected: readonly string[]): OciSpec;
}

/** It is not the request that is wrong: another day the device may be there. */
function failure(message: string, cause?: unknown): DhowError {
  return new DhowError("internal", message, cause === undefined ? {} : { cause });
}

function noDriver({ Driver, Capabilities }: Requested): DhowError {
  const sets = Capabilities.map((all) => `[${(all ?? []).join(" ")}]`).join(" ");
  return failure(`could not select device driver ${JSON.stringify(Driver)} with capabilities: [${sets}]`);
}

/** Of `vendor/class=name` devices. */
function cdiDriver(cdi: CdiDevices, log: Logger): DeviceDriver {
  const edit: DeviceDriver["edit"] = (spec, { Count, DeviceIDs, Options }) => {
    if (Count !== 0) throw failure("unexpected count in CDI device request");
    if (Object.keys(Options).length > 0) throw failure("unexpected options in CDI device request");
    if (DeviceIDs.length === 0) return spec;
    try {
      return applyEdits(spec, cdi.edits(DeviceIDs));
    } catch (cause) {
      // what is wrong with the files may be why
      for (const [path, errors] of cdi.errors) for (const error of errors) log.warn("CDI setup error", { dir: path, error });
      throw failure(`CDI device injection failed: ${errorMessage(cause)}`, cause);
    }
  };
  return { capabilities: [], edit };
}

/** More than any host has. */
const MAX_COUNT = 1024;

/** What a request for a number of devices, or for some, calls them: `0`, `1`, … or `all`. */
function deviceIds({ Count, DeviceIDs }: Requested): readonly string[] {
  if (Count !== 0 && DeviceIDs.length > 0) throw failure("cannot set both Count and DeviceIDs on device request");
  if (DeviceIDs.length > 0) return DeviceIDs;
  if (Count > MAX_COUNT) throw failure(`request ${Count} devices: want ${MAX_COUNT} at most`);
  return Count < 0 ? ["all"] : Array.from({ length: Count }, (_, index) => String(index));
}

/** Asks the interface for devices of one kind. */
function ofKind(kind: string, { cdi, log }: DeviceSources): DeviceDriver["edit"] {
  return (spec, request) => {
    const ids = deviceIds(request).map((id) => (id.includes("=") ? id : `${kind}=${id}`));
    if (ids.length === 0) return spec;
    if (cdi === undefined) throw failure(`no CDI device driver registered: ${noDriver(request).message}`);
    return cdiDriver(cdi, log).edit(spec, { ...request, Count: 0, DeviceIDs: ids, Options: {} }, []);
  };
}

const NVIDIA_CAPABILITIES = ["compute", "compat32", "graphics", "utility", "video", "display"] as const;
const NVIDIA_HOOK = "nvidia-container-runtime-hook";

/** NVIDIA's hook of old: it is told by variables, and gives the container its devices itself. */
function nvidiaHook(path: string): DeviceDriver["edit"] {
  return (spec, request, selected) => {
    const ids = deviceIds(request);
    if (ids.length === 0) return spec;
    const driver = selected.filter((capability) => (NVIDIA_CAPABILITIES as readonly string[]).includes(capability));
    const env = [
      `NVIDIA_VISIBLE_DEVICES=${ids.join(",")}`,
      ...(driver.length > 0 ? [`NVIDIA_DRIVER_CAPABILITIES=${driver.join(",")}`] : []),
    ];
    const own = Object.entries(process.env).map(([name, value = ""]) => `${name}=${value}`);
    const hook = { hookName: "prestart", path, args: [NVIDIA_HOOK, "prestart"], env: own, timeout: undefined };
    return applyEdits(spec, { ...NO_EDITS, env, hooks: [hook] });
  };
}

/** AMD's runtime is told by a variable. */
const amdRuntime: DeviceDriver["edit"] = (spec, request) => {
  const ids = deviceIds(request);
  return applyEdits(spec, { ...NO_EDITS, env: [`AMD_VISIBLE_DEVICES=${ids.length > 0 ? ids.join(",") : "void"}`] });
};

/** The first that can. */
function firstOf(edits: readonly DeviceDriver["edit"][], log: Logger): DeviceDriver["edit"] {
  return (spec, request, selected) => {
    const failures: string[] = [];
    for (const edit of edits) {
      try {
        const edited = edit(spec, request, selected);
        if (failures.length > 0) log.warn("Ignoring previous errors updating spec", { error: failures.join("\n") });
        return edited;
      } catch (error) {
        failures.push(errorMessage(error));
      }
    }
    throw failure(failures.join("\n"));
  };
}

/** The drivers of the graphics processors that the host has the means for: NVIDIA's, else AMD's. */
function gpuDrivers(sources: DeviceSources): readonly (readonly [string, DeviceDriver])[] {
  const { cdi, findProgram, log } = sources;
  const hasVendor = (vendor: string): boolean => cdi?.hasVendor(vendor) ?? false;
  const hook = findProgram(NVIDIA_HOOK);
  const nvidia = [
    ...(findProgram("nvidia-cdi-hook") !== undefined || hasVendor("nvidia.com")
      ? [["nvidia.cdi", ofKind("nvidia.com/gpu", sources)] as const]
      : []),
    ...(hook === undefined ? [] : [["nvidia.runtime-hook", nvidiaHook(hook)] as const]),
  ];
  if (nvidia.length > 0) {
    const all = firstOf(
      nvidia.map(([, edit]) => edit),
      log,
    );
    const named = nvidia.map(([name, edit]) => [name, { capabilities: [], edit }] as const);
    return [["nvidia", { capabilities: ["gpu", "nvidia", ...NVIDIA_CAPABILITIES], edit: all }], ...named];
  }
  const amd = [
    ...(hasVendor("amd.com") ? [ofKind("amd.com/gpu", sources)] : []),
    ...(findProgram("amd-container-runtime") === undefined ? [] : [amdRuntime]),
  ];
  return amd.length === 0 ? [] : [["amd", { capabilities: ["gpu", "amd"], edit: firstOf(amd, log) }]];
}

/** The first of the alternatives that asks for nothing else than what a driver is capable of. */
function selected({ capabilities }: DeviceDriver, { Capabilities }: Requested): readonly string[] | undefined {
  if (capabilities.length === 0) return undefined;
  return Capabilities.map((all) => all ?? []).find((all) => all.every((capability) => capabilities.includes(capability)));
}

/**
 * How a container's configuration changes for its device requests.
 * @throws internal in docker's words when no driver is there for one
 */
export function deviceRequestsEdit(requests: readonly DeviceRequest[], sources: DeviceSources): SpecEdit {
  const { cdi, log } = sources;
  const drivers = new Map<string, DeviceDriver>([
    ...(cdi === undefined ? [] : [["cdi", cdiDriver(cdi, log)] as const]),
    ...gpuDrivers(sources),
  ]);
  const edits = requests.map((given): SpecEdit => {
    const request = requested(given);
    const candidates = request.Driver === "" ? [...drivers.values()] : [drivers.get(request.Driver)];
    for (const driver of candidates) {
      if (driver === undefined) continue;
      const capabilities = selected(driver, request);
      if (request.Driver !== "" || capabilities !== undefined) return (spec) => driver.edit(spec, request, capabilities ?? []);
    }
    throw noDriver(request);
  });
  return (spec) => edits.reduce((edited, edit) => edit(edited), spec);
}

function requested({ Driver, Count, DeviceIDs, Capabilities, Options }: DeviceRequest): Requested {
  return { Driver: Driver ?? "", Count: Count ?? 0, DeviceIDs: DeviceIDs ?? [], Capabilities: Capabilities ?? [], Options: Options ?? {} };
}
