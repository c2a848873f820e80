import { DhowError } from "../lib/mod.ts";
import type { AttachSession } from "../spec/engine/mod.ts";
import { demultiplex, rawOutput } from "./frames.ts";
import type { HttpResponse } from "./http.ts";

/** A hijacked response as a session. @throws internal when the server kept the connection */
export function attachSession(response: HttpResponse, tty: boolean): AttachSession {
  const { connection } = response;
  if (connection === null) throw new DhowError("internal", `unable to upgrade to tcp, received ${response.status}`);
  return {
    tty,
    output: tty ? rawOutput(response.body) : demultiplex(response.body),
    write: (data) => connection.write(data),
    closeStdin: () => connection.end(),
    close: () => connection.destroy(),
  };
}
