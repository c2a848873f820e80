import { DhowError } from "../../lib/mod.ts";
import { json } from "../reply.ts";
import { type Handler, type Route, route } from "../router.ts";

/** What docker says of clusters where there is none. */
export const NOT_A_MANAGER =
  'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.';

function unavailable(message: string): Handler {
  return () => {
    throw new DhowError("unavailable", message);
  };
}

function swarmRoutes(): Route[] {
  const refuse = unavailable(NOT_A_MANAGER);
  const lists = ["/services", "/nodes", "/tasks", "/secrets", "/configs"];
  return [
    route("GET", "/swarm", refuse),
    route("GET", "/swarm/unlockkey", refuse),
    ...["init", "join", "update", "unlock"].map((verb) => route("POST", `/swarm/${verb}`, refuse)),
    route("POST", "/swarm/leave", unavailable("This node is not part of a swarm")),
    ...lists.flatMap((noun) => [
      route("GET", noun, refuse),
      route("GET", `${noun}/:name`, refuse),
      route("DELETE", `${noun}/:name`, refuse),
      route("POST", `${noun}/create`, refuse),
      route("POST", `${noun}/:name/update`, refuse),
    ]),
    route("PUT", "/volumes/:name", refuse),
  ];
}

/** What Docker has and dhow doesn't, where dockerd answers something else than "page not found". */
export function absentRoutes(): readonly Route[] {
  return [
    ...swarmRoutes(),
    route("GET", "/plugins", () => json([])),
    route("GET", "/plugins/:name/json", (request) => {
      throw new DhowError("notFound", `plugin ${JSON.stringify(request.name)} not found`);
    }),
    // there is no build to cancel, which dockerd says of no id either
    route("POST", "/build/cancel", ({ query }) => {
      if (query.text("id") === "") throw new DhowError("internal", "build ID not provided");
      return { kind: "empty", status: 200 };
    }),
    // there is no build cache, so there is nothing to prune: `docker system prune` asks
    route("POST", "/build/prune", () => json({ CachesDeleted: null, SpaceReclaimed: 0 })),
  ];
}
