import type { DiskUsage, EventMessage, EventsOptions, ImageSummary, SystemApi, SystemInfo } from "../../spec/engine/mod.ts";
import type { Objects } from "./objects.ts";

const EVERY_IMAGE = { all: true, digests: false, sharedSize: false, manifests: false, filters: {} };

/** The engine itself, as far as a socket's clients see it. */
export function scopedSystem(objects: Objects): SystemApi {
  const { access, engine } = objects;
  const { system } = engine;
  return {
    version: () => system.version(),
    info: async () => ({ ...(await system.info()), ...(await ownCounts(objects)) }),
    events: (options) => {
      access.require("system", "read");
      return ownEvents(objects, options);
    },
    diskUsage: async (types, options) => {
      access.require("system", "read");
      return ownUsage(objects, await system.diskUsage(types, options));
    },
    // it is about everybody's objects, and repairs them
    check: async () => {
      throw access.refusal("system check");
    },
    authenticate: async (credentials, options) => {
      access.require("images", "create");
      return system.authenticate(credentials, options);
    },
  };
}

/** What /info counts, of what is visible; and nothing of the engine's settings that a proxy's password or a label could be in. */
async function ownCounts(objects: Objects): Promise<Partial<SystemInfo>> {
  const { access, engine } = objects;
  const containers = await objects.containers();
  const count = (state: string): number => containers.filter(({ State }) => State === state).length;
  const images = access.may("images", "read") ? await engine.images.list(EVERY_IMAGE) : [];
  const [running, paused] = [count("running"), count("paused")];
  return {
    Containers: containers.length,
    ContainersRunning: running,
    ContainersPaused: paused,
    ContainersStopped: containers.length - running - paused,
    Images: images.filter(({ Labels }) => access.reads("images", Labels)).length,
    NEventsListener: 0,
    NFd: 0,
    NGoroutines: 0,
    Labels: [],
    HttpProxy: "",
    HttpsProxy: "",
    NoProxy: "",
    Warnings: null,
  };
}

async function ownUsage(objects: Objects, usage: DiskUsage): Promise<DiskUsage> {
  const { access } = objects;
  const visible = await objects.containers();
  const own = new Set(visible.map(({ Id }) => Id));
  const usersOf = (id: string | undefined): number => visible.filter(({ ImageID }) => ImageID === id).length;
  const readable = usage.Images.filter(({ Labels }) => access.reads("images", Labels));
  const Images = readable.map((image) => ({ ...image, Containers: usersOf(image.Id) }));
  return {
    LayersSize: Images.length === usage.Images.length ? usage.LayersSize : Images.reduce((total, image) => total + sizeOf(image), 0),
    Images,
    Containers: usage.Containers.filter(({ Labels }) => access.reads("containers", Labels)).map((one) => ({
      ...one,
      Names: objects.ownNames(one.Names, visible),
    })),
    Volumes: usage.Volumes.filter(({ Labels }) => access.reads("volumes", Labels)),
    BuildCache: [],
    Logs: (usage.Logs ?? []).filter(({ ContainerID }) => own.has(ContainerID)),
  };
}

function sizeOf({ Size = 0 }: ImageSummary): number {
  return Size;
}

/** Events of what is visible. Those of a container carry its labels; of others it is known as long as they are there, or were seen to be. */
async function* ownEvents(objects: Objects, options: EventsOptions): AsyncGenerator<EventMessage> {
  const known = new Set<string>();
  for (const id of await present(objects)) known.add(id);
  for await (const event of objects.engine.system.events(options)) if (await isOwn(objects, event, known)) yield event;
}

/** What is visible now, by what events call it. */
async function present(objects: Objects): Promise<string[]> {
  const { access, engine } = objects;
  const volumes = access.may("volumes", "read") ? ((await engine.volumes.list({})).Volumes ?? []) : [];
  const images = access.may("images", "read") ? await engine.images.list(EVERY_IMAGE) : [];
  return [
    ...(await objects.containers()).map(({ Id = "" }) => `container ${Id}`),
    ...volumes.filter(({ Labels }) => access.reads("volumes", Labels)).map(({ Name = "" }) => `volume ${Name}`),
    ...images.filter(({ Labels }) => access.reads("images", Labels)).map(({ Id = "" }) => `image ${Id}`),
  ];
}

async function isOwn(objects: Objects, { Type = "", Action, Actor }: EventMessage, known: Set<string>): Promise<boolean> {
  const id = Actor?.ID ?? "";
  const key = `${Type} ${id}`;
  if (Type === "container") {
    const isVisible = objects.access.reads("containers", Actor?.Attributes);
    // nothing more is told of one that is gone
    if (Action === "destroy") known.delete(key);
    else if (isVisible) known.add(key);
    return isVisible;
  }
  const container = Actor?.Attributes?.["container"];
  if (container !== undefined && !known.has(`container ${container}`)) return false;
  if (known.has(key)) return true;
  if (!(await isPresent(objects, Type, id))) return false;
  known.add(key);
  return true;
}

/** Whether what an event is about is there, and visible. */
async function isPresent(objects: Objects, type: string, id: string): Promise<boolean> {
  const look = async (): Promise<unknown> => {
    switch (type) {
      case "volume":
        return objects.volume(id, "read");
      case "image":
        return objects.image(id, "read");
      case "network":
        return objects.network(id, "read");
      default:
        return undefined;
    }
  };
  return (await look().catch(() => undefined)) !== undefined;
}
