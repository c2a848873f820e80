/**
 * A network driver in docker's plug-in protocol: `driver.ts SOCKET DIRECTORY BRIDGE`. Endpoints are veth pairs, one end in BRIDGE; what it was
 * asked is in DIRECTORY/calls; a method that a file DIRECTORY/hang-METHOD or fail-METHOD names never answers, or answers with an error.
 */
import { appendFileSync, existsSync } from "node:fs";

const [socket = "", root = "", bridge = ""] = process.argv.slice(2);

interface Body {
  readonly NetworkID?: string;
  readonly EndpointID?: string;
  readonly IPv4Data?: readonly { readonly Pool: string; readonly Gateway: string }[];
  readonly Options?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly Interface?: { readonly Address: string; readonly MacAddress: string };
}

function ip(...args: readonly string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(["ip", ...args]);
  if (exitCode !== 0) throw new Error(`ip ${args.join(" ")}: ${stderr}`);
}

const near = ({ EndpointID = "" }: Body): string => `rn${EndpointID.slice(0, 9)}`;
const METHODS: Readonly<Record<string, (body: Body) => object>> = {
  "Plugin.Activate": () => ({ Implements: ["NetworkDriver"] }),
  "NetworkDriver.GetCapabilities": () => ({ Scope: "local" }),
  "NetworkDriver.CreateNetwork": ({ IPv4Data, Options }) => {
    if (Options?.["com.docker.network.generic"]?.["bad"]) return { Err: "unknown option bad" };
    ip("link", "add", bridge, "type", "bridge");
    const { Gateway = "", Pool } = IPv4Data?.[0] ?? {};
    if (Gateway !== "") ip("addr", "add", Gateway, "dev", bridge);
    else if (Pool !== "0.0.0.0/0") return { Err: `no gateway in ${Pool}` };
    ip("link", "set", bridge, "up");
    return {};
  },
  "NetworkDriver.DeleteNetwork": () => {
    ip("link", "delete", bridge);
    return {};
  },
  "NetworkDriver.CreateEndpoint": () => ({ Interface: {} }),
  "NetworkDriver.Join": (body) => {
    ip("link", "add", near(body), "type", "veth", "peer", "name", `${near(body)}p`);
    ip("link", "set", near(body), "master", bridge, "up");
    return {
      InterfaceName: { SrcName: `${near(body)}p`, DstPrefix: "eth" },
      StaticRoutes: [{ Destination: "192.0.2.0/24", RouteType: 1, NextHop: "" }],
    };
  },
  "NetworkDriver.Leave": (body) => {
    Bun.spawnSync(["ip", "link", "delete", near(body)], { stderr: "ignore" });
    return {};
  },
  "NetworkDriver.DeleteEndpoint": () => ({}),
};

Bun.serve({
  unix: socket,
  fetch: async (request) => {
    const method = new URL(request.url).pathname.slice(1);
    const text = await request.text();
    const name = method.replace("NetworkDriver.", "");
    const body = (text === "" ? {} : JSON.parse(text)) as Body;
    appendFileSync(`${root}/calls`, `${name}${body.Interface ? ` ${body.Interface.Address}` : ""}\n`);
    if (existsSync(`${root}/hang-${name}`)) return new Promise<Response>(() => {});
    try {
      return Response.json(METHODS[method]?.(body) ?? { Err: "what?" });
    } catch (error) {
      return Response.json({ Err: String(error) }, { status: 500 });
    }
  },
});
process.stdout.write("ready\n");
