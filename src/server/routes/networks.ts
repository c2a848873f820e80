import { DhowError, isKind } from "../../lib/mod.ts";
import type {
  EngineApi,
  NetworkConnectRequest,
  NetworkCreateRequest,
  NetworkDisconnectRequest,
  NetworkSummary,
  NetworksApi,
} from "../../spec/engine/mod.ts";
import { networkConnectBody, networkCreateBody, networkDisconnectBody } from "../bodies.ts";
import { withLease } from "../lease-header.ts";
import { json, noContent, type Reply } from "../reply.ts";
import type { ApiRequest } from "../request.ts";
import { type Handler, type Route, route } from "../router.ts";
import { network, networkSummary } from "../versions.ts";

const LIST_FILTERS = new Set(["dangling", "driver", "id", "label", "name", "scope", "type"]);
const PRUNE_FILTERS = new Set(["label", "label!", "until"]);
const GO_BOOLEANS: Readonly<Record<string, boolean>> = {
  "1": true,
  t: true,
  T: true,
  true: true,
  TRUE: true,
  True: true,
  "0": false,
  f: false,
  F: false,
  false: false,
  FALSE: false,
  False: false,
};

function isVerbose(request: ApiRequest): boolean {
  const given = request.query.text("verbose");
  if (given === "") return false;
  const value = GO_BOOLEANS[given];
  if (value === undefined) {
    throw new DhowError(
      "invalid",
      `invalid value for verbose: ${given}: strconv.ParseBool: parsing ${JSON.stringify(given)}: invalid syntax`,
    );
  }
  return value;
}

/** Before 1.28 the list showed the containers of each network, too. */
async function withContainers(networks: NetworksApi, { Id = "" }: NetworkSummary, request: ApiRequest): Promise<object[]> {
  try {
    return [network(await networks.inspect(Id, { verbose: false }), request.version)];
  } catch (error) {
    // removed in the meantime
    if (isKind(error, "notFound")) return [];
    throw error;
  }
}

/** The request as the newest version has it. */
async function createRequest(request: ApiRequest): Promise<NetworkCreateRequest> {
  const { CheckDuplicate: _, ...value } = (await request.json(networkCreateBody)).value as Partial<NetworkCreateRequest>;
  if (!request.atLeast(48)) delete (value as { EnableIPv4?: boolean }).EnableIPv4;
  return { ...value, Name: value.Name ?? "" };
}

/** The request as the newest version has it: before 1.48 there were no priorities, before 1.54 no MAC addresses to ask for. */
async function connectRequest(request: ApiRequest): Promise<NetworkConnectRequest> {
  const value = (await request.json(networkConnectBody)).value as NetworkConnectRequest;
  if (request.atLeast(54) || !value.EndpointConfig) return value;
  const { MacAddress: _, ...settings } = value.EndpointConfig;
  return { ...value, EndpointConfig: request.atLeast(48) ? settings : { ...settings, GwPriority: 0 } };
}

/** docker's answer to both: no body, and no 204 */
const done: Reply = { kind: "empty", status: 200 };

/** /networks */
export function networkRoutes({ networks, leases }: Pick<EngineApi, "networks" | "leases">): readonly Route[] {
  const list: Handler = async (request) => {
    const all = await networks.list(request.query.filters(LIST_FILTERS));
    if (request.atLeast(28)) return json(all.map((entry) => networkSummary(entry, request.version)));
    return json((await Promise.all(all.map((entry) => withContainers(networks, entry, request)))).flat());
  };
  return [
    route("GET", "/networks", list),
    route("GET", "/networks/", list),
    route("GET", "/networks/:name", async (request) => {
      const options = { verbose: isVerbose(request), scope: request.query.text("scope") || undefined };
      return json(network(await networks.inspect(request.name, options), request.version));
    }),
    route("POST", "/networks/create", async (request) =>
      json(await networks.create(await withLease(request, await createRequest(request), leases)), 201),
    ),
    route("POST", "/networks/:name/connect", async (request) => {
      await networks.connect(request.name, await connectRequest(request));
      return done;
    }),
    route("POST", "/networks/:name/disconnect", async (request) => {
      await networks.disconnect(request.name, (await request.json(networkDisconnectBody)).value as NetworkDisconnectRequest);
      return done;
    }),
    route("DELETE", "/networks/:name", async (request) => {
      await networks.remove(request.name);
      return noContent;
    }),
    route("POST", "/networks/prune", async (request) => json(await networks.prune(request.query.filters(PRUNE_FILTERS)))),
  ];
}
