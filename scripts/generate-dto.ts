/**
 * Writes src/spec/engine/dto.ts: the definitions of Docker's Engine API as TypeScript interfaces.
 * Usage: bun scripts/generate-dto.ts path/to/docker-engine-api.yaml
 */
import { writeFileSync } from "node:fs";
import { parse } from "yaml";

interface Schema {
  type?: string;
  format?: string;
  $ref?: string;
  enum?: unknown[];
  items?: Schema;
  properties?: Record<string, Schema>;
  additionalProperties?: boolean | Schema;
  allOf?: Schema[];
  description?: string;
  required?: string[];
  "x-nullable"?: boolean;
}

const doc = parse(readText(process.argv[2] ?? "")) as { definitions: Record<string, Schema> };

function readText(path: string): string {
  return require("node:fs").readFileSync(path, "utf8");
}

function type(s: Schema, depth: number): string {
  const base = plain(s, depth);
  return s["x-nullable"] ? `${base} | null` : base;
}

function plain(s: Schema, depth: number): string {
  if (s.$ref) return s.$ref.replace("#/definitions/", "");
  if (s.allOf) return s.allOf.map((part) => type(part, depth)).join(" & ");
  if (s.type === "array") {
    const item = s.items ? type(s.items, depth) : "unknown";
    return `readonly ${/^[\w.]+$/.test(item) ? item : `(${item})`}[] | null`;
  }
  if (s.properties) return object(s, depth);
  if (s.additionalProperties && typeof s.additionalProperties === "object")
    return `Readonly<Record<string, ${type(s.additionalProperties, depth)}>> | null`;
  if (s.type === "integer" || s.type === "number") return "number";
  if (s.type === "boolean") return "boolean";
  if (s.type === "string") return "string";
  return "Readonly<Record<string, unknown>>";
}

function object(s: Schema, depth: number): string {
  const pad = "  ".repeat(depth + 1);
  const rows = Object.entries(s.properties ?? {}).map(([name, p]) => {
    const doc = (p.description ?? "")
      .trim()
      .split(/\n\s*\n/)[0]
      ?.replace(/\s+/g, " ")
      .replace(/\*\//g, "* /")
      .trim();
    const comment = doc && doc.length < 160 ? `${pad}/** ${doc} */\n` : "";
    return `${comment}${pad}readonly ${/^\w+$/.test(name) ? name : JSON.stringify(name)}?: ${type(p, depth + 1)} | undefined;`;
  });
  return `{\n${rows.join("\n")}\n${"  ".repeat(depth)}}`;
}

const skip =
  /^(Swarm|Node|Task|Service|Secret|Config$|ConfigSpec|ConfigReference|Cluster|Topology|Plugin|Manager|JoinTokens|Reachability|EndpointPortConfig|EndpointSpec|GenericResources|ResourceObject|Limit|PortStatus|ContainerStatus|NetworkAttachment$|ObjectVersion|EngineDescription|Signature|SignerIdentity|KnownSigner|TLSInfo)/;
const keep = new Set([
  "PluginsInfo",
  "SwarmInfo",
  "ServiceInfo",
  "NetworkTaskInfo",
  "NodeState",
  "TLSInfo",
  "ClusterInfo",
  "ObjectVersion",
  "SwarmSpec",
  "ClusterVolume",
  "ClusterVolumeSpec",
  "ConfigReference",
  "SignatureIdentity",
  "SignatureTimestamp",
  "SignatureTimestampType",
  "SignatureType",
  "SignerIdentity",
  "KnownSignerIdentity",
  "TaskSpec",
  "GenericResources",
]);
const out = [
  "// Made by scripts/generate-dto.ts from Docker's Engine API 1.56; do not edit.",
  "// Every field is optional: which ones a request must have, and a version shows, is decided where they are read and written.",
  "",
];
for (const [name, schema] of Object.entries(doc.definitions)) {
  if (skip.test(name) && !keep.has(name)) continue;
  if (["SwarmSpec", "TaskSpec", "ClusterVolume", "ClusterVolumeSpec"].includes(name)) {
    out.push(`export type ${name} = Readonly<Record<string, unknown>>;\n`);
    continue;
  }
  const body = type(schema, 0);
  out.push(body.startsWith("{") && body.endsWith("}") ? `export interface ${name} ${body}\n` : `export type ${name} = ${body};\n`);
}
writeFileSync(new URL("../src/spec/engine/dto.ts", import.meta.url), out.join("\n"));
