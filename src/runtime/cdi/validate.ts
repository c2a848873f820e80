import { DhowError } from "../../lib/mod.ts";
import {
  type CdiDevice,
  type CdiDeviceNode,
  type CdiDocument,
  type CdiHook,
  type CdiIntelRdt,
  type CdiMount,
  type CdiNetDevice,
  type ContainerEdits,
  isEmptyEdits,
} from "./document.ts";
import { checkDeviceName, checkKind, parseKind, qualifiedName } from "./names.ts";

/** When a hook may run. @see https://github.com/opencontainers/runtime-spec/blob/v1.2.0/config.md#posix-platform-hooks */
export const HOOK_NAMES = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"] as const;

/** The versions of the interface, oldest first, and what a document has that needs one of them at least. */
const VERSIONS: readonly (readonly [version: string, needs?: (document: CdiDocument) => boolean])[] = [
  ["0.1.0"],
  ["0.2.0"],
  ["0.3.0"],
  ["0.4.0", (document) => allEdits(document).some(({ mounts }) => mounts.some(({ type }) => type !== ""))],
  [
    "0.5.0",
    (document) =>
      document.devices.some(({ name }) => /^[0-9]/.test(name)) ||
      allEdits(document).some(({ deviceNodes }) => deviceNodes.some(({ hostPath }) => hostPath !== "")),
  ],
  [
    "0.6.0",
    (document) =>
      [document, ...document.devices].some(({ annotations }) => Object.keys(annotations).length > 0) ||
      (document.kind.includes("/") && parseKind(document.kind).class.includes(".")),
  ],
  ["0.7.0", (document) => allEdits(document).some((edits) => edits.intelRdt !== undefined || edits.additionalGids.length > 0)],
  ["0.8.0"],
  ["1.0.0"],
  ["1.1.0", (document) => allEdits(document).some((edits) => edits.netDevices.length > 0 || hasNewRdt(edits.intelRdt))],
];

function allEdits({ edits, devices }: CdiDocument): readonly ContainerEdits[] {
  return [edits, ...devices.map((device) => device.edits)];
}

function hasNewRdt(rdt: CdiIntelRdt | undefined): boolean {
  return rdt !== undefined && (rdt.schemata.length > 0 || rdt.enableMonitoring);
}

function invalid(message: string): DhowError {
  return new DhowError("invalid", message);
}

function checkVersion(document: CdiDocument): void {
  const given = VERSIONS.findIndex(([version]) => version === document.version.replace(/^v/, ""));
  if (given < 0) throw invalid(`invalid version ${JSON.stringify(document.version)}`);
  const needed = VERSIONS.findLastIndex(([, needs]) => needs?.(document) ?? false);
  if (needed > given) throw invalid(`the spec version must be at least v${VERSIONS[needed]?.[0]}`);
}

const ANNOTATION_MAX_BYTES = 256 * 1024;
const LABEL = "[a-z0-9](?:[-a-z0-9]*[a-z0-9])?";
const ANNOTATION = new RegExp(`^(?:(?=[^/]{1,253}/)${LABEL}(?:\\.${LABEL})*/)?(?=[^/]{1,63}$)[a-z0-9](?:[-a-z0-9_.]*[a-z0-9])?$`);

/** Names as Kubernetes' are: a word, with a domain before it or none. */
function checkAnnotations(of: string, annotations: Readonly<Record<string, string>>): void {
  const wrong = Object.keys(annotations).find((key) => !ANNOTATION.test(key.toLowerCase()));
  if (wrong !== undefined)
    throw invalid(`${of}.annotations.${wrong} is invalid: must be a name of up to 63 characters, such as example.com/name`);
  const bytes = Object.entries(annotations).reduce((sum, pair) => sum + Buffer.byteLength(pair.join("")), 0);
  if (bytes > ANNOTATION_MAX_BYTES)
    throw invalid(`${of}.annotations is too long: annotations size ${bytes} is larger than limit ${ANNOTATION_MAX_BYTES}`);
}

function envProblem(env: readonly string[]): string | undefined {
  const wrong = env.find((variable) => variable.indexOf("=") < 1);
  return wrong === undefined ? undefined : `invalid environment variable ${JSON.stringify(wrong)}`;
}

function checkDeviceNode({ path, type, permissions }: CdiDeviceNode): void {
  if (path === "") throw invalid("invalid (empty) device path");
  const quoted = JSON.stringify(path);
  if (!["", "b", "c", "u", "p"].includes(type)) throw invalid(`device ${quoted}: invalid type ${JSON.stringify(type)}`);
  if (!/^[rwm]*$/.test(permissions)) throw invalid(`device ${quoted}: invalid permissions ${JSON.stringify(permissions)}`);
}

function checkHook({ hookName, path, env }: CdiHook): void {
  const quoted = JSON.stringify(hookName);
  if (!(HOOK_NAMES as readonly string[]).includes(hookName)) throw invalid(`invalid hook name ${quoted}`);
  if (path === "") throw invalid(`invalid hook ${quoted} with empty path`);
  const problem = envProblem(env);
  if (problem !== undefined) throw invalid(`invalid hook ${quoted}: ${problem}`);
}

function checkMount({ hostPath, containerPath }: CdiMount): void {
  if (hostPath === "") throw invalid("invalid mount, empty host path");
  if (containerPath === "") throw invalid("invalid mount, empty container path");
}

/** The class of service is a directory of resctrl's. */
function checkIntelRdt({ closID }: CdiIntelRdt): void {
  if (closID === "/") return;
  if (closID.length >= 4096 || closID === "." || closID === ".." || /[/\n]/.test(closID)) throw invalid("invalid ClosID");
}

function checkNetDevices(devices: readonly CdiNetDevice[]): void {
  const byHost = new Map<string, string>();
  const byName = new Map<string, string>();
  for (const { hostInterfaceName: host, name } of devices) {
    if (host === "") throw invalid("invalid linux net device, empty HostInterfaceName");
    if (name === "") throw invalid("invalid linux net device, empty Name");
    const [other, otherHost] = [byHost.get(host), byName.get(name)];
    const say = (...words: readonly string[]): string => words.map((word) => JSON.stringify(word)).join(" and ");
    if (other !== undefined)
      throw invalid(`invalid linux net device, duplicate HostInterfaceName ${say(host)} with names ${say(name, other)}`);
    if (otherHost !== undefined)
      throw invalid(`invalid linux net device, duplicate Name ${say(name)} with HostInterfaceName ${say(host, otherHost)}`);
    byHost.set(host, name);
    byName.set(name, host);
  }
}

function checkEdits(edits: ContainerEdits): void {
  const problem = envProblem(edits.env);
  if (problem !== undefined) throw invalid(`invalid container edits: ${problem}`);
  edits.deviceNodes.forEach(checkDeviceNode);
  edits.hooks.forEach(checkHook);
  edits.mounts.forEach(checkMount);
  if (edits.intelRdt !== undefined) checkIntelRdt(edits.intelRdt);
  checkNetDevices(edits.netDevices);
}

function within<T>(context: string, check: () => T): T {
  try {
    return check();
  } catch (cause) {
    throw new DhowError("invalid", `${context}: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
}

function checkDevice(kind: string, { name, annotations, edits }: CdiDevice): void {
  checkDeviceName(name);
  checkAnnotations(qualifiedName(kind, name), annotations);
  if (isEmptyEdits(edits)) throw invalid("invalid device, empty device edits");
  within(`invalid device ${JSON.stringify(name)}`, () => checkEdits(edits));
}

/** Looks at a document's contents. @throws invalid for the first thing that is wrong, in docker's words */
export function checkDocument(document: CdiDocument): void {
  checkVersion(document);
  checkKind(document.kind);
  checkAnnotations(document.kind, document.annotations);
  checkEdits(document.edits);
  const names = new Set<string>();
  for (const device of document.devices) {
    within(`failed add device ${JSON.stringify(device.name)}`, () => checkDevice(document.kind, device));
    if (names.has(device.name)) throw invalid(`invalid spec, multiple device ${JSON.stringify(device.name)}`);
    names.add(device.name);
  }
  if (names.size === 0) throw invalid("invalid spec, no devices");
}
