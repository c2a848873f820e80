import { DhowError } from "../../lib/mod.ts";
import type { EngineApi } from "../../spec/engine/mod.ts";
import { json } from "../reply.ts";
import type { ApiRequest } from "../request.ts";
import { type Handler, type Route, route } from "../router.ts";
import { network } from "../versions.ts";

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

/** /networks */
export function networkRoutes({ networks }: Pick<EngineApi, "networks">): readonly Route[] {
  const list: Handler = async (request) => {
    const all = await networks.list(request.query.filters(LIST_FILTERS));
    return json(all.map((entry) => network(entry, request.version)));
  };
  return [
    route("GET", "/networks", list),
    route("GET", "/networks/", list),
    route("GET", "/networks/:name", async (request) => {
      const options = { verbose: isVerbose(request), scope: request.query.text("scope") || undefined };
      return json(network(await networks.inspect(request.name, options), request.version));
    }),
    route("POST", "/networks/prune", async (request) => json(await networks.prune(request.query.filters(PRUNE_FILTERS)))),
  ];
}
