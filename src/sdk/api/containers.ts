import { DhowError } from "../../lib/mod.ts";
import type { ContainerWaitResponse, EngineApi, ExecStartRequest, PathStat } from "../../spec/engine/mod.ts";
import type { HttpResponse } from "../http.ts";
import { checkedName, filtersParameter, segment, target } from "../query.ts";
import { attachSession } from "../session.ts";
import { bodyText, jsonBody, type Transport } from "../transport.ts";

/** Calls below /containers that make, list, describe and remove. */
export function containers(t: Transport): EngineApi["containers"] {
  return {
    create: (request, { name, platform, signal }) =>
      t.json({ method: "POST", target: target("/containers/create", { name, platform }), ...jsonBody(request), signal }),
    list: ({ all, limit, size, filters, signal }) =>
      t.json({
        method: "GET",
        target: target("/containers/json", { all, limit: limit > 0 ? limit : undefined, size, filters: filtersParameter(filters) }),
        signal,
      }),
    inspect: (ref, { size }) => t.get(`/containers/${segment(ref, "container")}/json`, { size }),
    rename: (ref, name) => t.send("POST", `/containers/${segment(ref, "container")}/rename`, { name }),
    update: (ref, request) => t.post(`/containers/${segment(ref, "container")}/update`, {}, request),
    explain: (ref) => t.get(`/containers/${segment(ref, "container")}/why`),
    remove: (ref, { force, volumes, link }) => t.send("DELETE", `/containers/${segment(ref, "container")}`, { v: volumes, link, force }),
    prune: (filters) => t.post("/containers/prune", { filters: filtersParameter(filters) }),
  };
}

/** Calls below /containers/{id}/checkpoints. */
export function checkpoints(t: Transport): EngineApi["checkpoints"] {
  return {
    create: (ref, request) => t.send("POST", `/containers/${segment(ref, "container")}/checkpoints`, {}, request),
    list: (ref, { dir }) => t.get(`/containers/${segment(ref, "container")}/checkpoints`, { dir }),
    remove: (ref, id, { dir }) =>
      t.send("DELETE", `/containers/${segment(ref, "container")}/checkpoints/${segment(id, "checkpoint")}`, { dir }),
  };
}

/** Calls that start, stop, signal and wait. */
export function lifecycle(t: Transport): EngineApi["lifecycle"] {
  const signalAndTime = (options: { readonly timeoutS?: number | undefined; readonly signal?: string | undefined }) => ({
    t: options.timeoutS,
    signal: options.signal,
  });
  return {
    start: (ref, { detachKeys, checkpoint, checkpointDir }) =>
      notModifiedIsFine(
        t.send("POST", `/containers/${segment(ref, "container")}/start`, { checkpoint, "checkpoint-dir": checkpointDir, detachKeys }),
      ),
    stop: (ref, options) => notModifiedIsFine(t.send("POST", `/containers/${segment(ref, "container")}/stop`, signalAndTime(options))),
    restart: (ref, options) => t.send("POST", `/containers/${segment(ref, "container")}/restart`, signalAndTime(options)),
    kill: (ref, signal) => t.send("POST", `/containers/${segment(ref, "container")}/kill`, { signal }),
    pause: (ref) => t.send("POST", `/containers/${segment(ref, "container")}/pause`),
    unpause: (ref) => t.send("POST", `/containers/${segment(ref, "container")}/unpause`),
    wait: async (ref, condition, { signal }) => {
      const response = await t.call({
        method: "POST",
        target: target(`/containers/${segment(ref, "container")}/wait`, { condition }),
        signal,
      });
      const exit = bodyText(response).then((text): ContainerWaitResponse => JSON.parse(text));
      exit.catch(() => {});
      return { exit };
    },
  };
}

async function notModifiedIsFine(call: Promise<void>): Promise<void> {
  try {
    await call;
  } catch (error) {
    if ((error as DhowError).kind !== "notModified") throw error;
  }
}

/** The archive calls of `docker cp`. */
export function files(t: Transport): EngineApi["files"] {
  const path = (ref: string) => `/containers/${segment(ref, "container")}/archive`;
  return {
    stat: async (ref, asked, { signal } = {}) => {
      const response = await t.call({ method: "HEAD", target: target(path(ref), { path: asked }), signal });
      for await (const _ of response.body);
      return pathStat(response);
    },
    getArchive: async (ref, asked, { signal }) => {
      const response = await t.call({ method: "GET", target: target(path(ref), { path: asked }), signal });
      return { stat: pathStat(response), archive: response.body };
    },
    putArchive: async (ref, asked, archive, { noOverwriteDirNonDir, copyUidGid, signal }) => {
      const query = { path: asked, noOverwriteDirNonDir: noOverwriteDirNonDir && "true", copyUIDGID: copyUidGid && "true" };
      await t.text({
        method: "PUT",
        target: target(path(ref), query),
        headers: { "Content-Type": "application/x-tar" },
        body: archive,
        signal,
      });
    },
  };
}

function pathStat({ headers }: HttpResponse): PathStat {
  const text = Buffer.from(headers["x-docker-container-path-stat"] ?? "", "base64").toString("utf8");
  if (text === "") throw new DhowError("internal", "unable to decode container path stat header: EOF");
  return JSON.parse(text) as PathStat;
}

/** What a container wrote: changes, export, commit. */
export function contents(t: Transport): EngineApi["contents"] {
  return {
    changes: (ref, { signal }) => t.json({ method: "GET", target: target(`/containers/${segment(ref, "container")}/changes`), signal }),
    export: async (ref, { signal }) =>
      (await t.call({ method: "GET", target: target(`/containers/${segment(ref, "container")}/export`), signal })).body,
    commit: (ref, { repo, tag, author, comment, pause, changes, config, signal }) =>
      t.json({
        method: "POST",
        target: target("/commit", {
          container: checkedName(ref, "container"),
          repo,
          tag,
          author,
          comment,
          pause: pause ? undefined : "0",
          changes,
        }),
        ...jsonBody(config ?? null),
        signal,
      }),
  };
}

/** Calls below /exec. */
export function exec(t: Transport): EngineApi["exec"] {
  return {
    create: (ref, request) => t.post(`/containers/${segment(ref, "container")}/exec`, {}, request),
    start: async (id: string, request: ExecStartRequest, { signal }) => {
      if (request.Detach) {
        await t.send("POST", `/exec/${segment(id, "exec")}/start`, {}, request);
        return null;
      }
      const path = `/exec/${segment(id, "exec")}/start`;
      const response = await t.call({ method: "POST", target: path, ...jsonBody(request), upgrade: true, signal });
      return attachSession(response, request.Tty === true);
    },
    inspect: (id) => t.get(`/exec/${segment(id, "exec")}/json`),
    resize: (id, { rows, columns }) => t.send("POST", `/exec/${segment(id, "exec")}/resize`, { h: rows, w: columns }),
  };
}
