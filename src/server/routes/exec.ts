import { DhowError } from "../../lib/mod.ts";
import type { EngineApi, ExecCreateRequest, ExecStartRequest } from "../../spec/engine/mod.ts";
import { execCreateBody, execStartBody } from "../bodies.ts";
import { startingSession } from "../hijack.ts";
import { json } from "../reply.ts";
import { hijackRoute, type Route, route } from "../router.ts";
import { outputType } from "./streams.ts";

/** /containers/{id}/exec and /exec */
export function execRoutes({ exec }: Pick<EngineApi, "exec">): readonly Route[] {
  return [
    route("POST", "/containers/:name/exec", async (request) => {
      const { ConsoleSize, ...body } = (await request.json(execCreateBody)).value as ExecCreateRequest;
      if ((body.Cmd ?? []).length === 0) throw new DhowError("invalid", "No exec command specified");
      const created = await exec.create(request.name, request.atLeast(42) && ConsoleSize ? { ...body, ConsoleSize } : body);
      return json(created, 201);
    }),
    hijackRoute("POST", "/exec/:name/start", async (request) => {
      const { ConsoleSize, ...given } = (await request.json(execStartBody)).value as ExecStartRequest;
      // a size is for a terminal, and since 1.42
      const body = request.atLeast(42) && given.Tty && ConsoleSize ? { ...given, ConsoleSize } : given;
      const tty = body.Tty ?? false;
      const contentType = outputType(request, tty);
      const accepted = Promise.withResolvers<void>();
      const starting = exec.start(request.name, body, { signal: request.signal, onAccepted: accepted.resolve });
      if (body.Detach) {
        await starting;
        return { kind: "empty", status: 200 };
      }
      // as dockerd: the head goes out before the process starts, else some clients take its output for a part of the head
      await Promise.race([accepted.promise, starting]);
      return { session: startingSession(starting, tty), contentType, multiplexed: !tty, stdin: true };
    }),
    route("POST", "/exec/:name/resize", async (request) => {
      await exec.resize(request.name, { rows: request.query.dimension("h", "height"), columns: request.query.dimension("w", "width") });
      return { kind: "empty", status: 200 };
    }),
    route("GET", "/exec/:name/json", async (request) => json(await exec.inspect(request.name))),
  ];
}
