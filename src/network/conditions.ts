import { DhowError } from "../lib/mod.ts";
import {
  deleteQdisc,
  type Fd,
  findLink,
  insideNetns,
  isErrno,
  listQdiscs,
  NETLINK,
  type NetlinkError,
  NetlinkSocket,
  type QdiscPlace,
  type Request,
  setNetem,
  setTbf,
  TC_ROOT,
  tcHandle,
} from "../linux/mod.ts";
import type { NetConditions } from "../spec/engine/mod.ts";

/** An interface of a container, from both sides. */
export interface ConditionedLink {
  /** The daemon's own namespace, where the other end is. */
  readonly home: Fd;
  /** The sandbox's. */
  readonly netns: Fd;
  readonly interfaceName: string;
  /** Name of the other end on the host; undefined: there is none, and what comes in can't be held back. */
  readonly hostInterface: string | undefined;
}

/** What dhow's queueing disciplines are called, so that they are changed and not made anew: `1:` delays and loses, `2:` holds back. */
const NETEM = tcHandle(1);
const NETEM_CLASS = tcHandle(1, 1);
const TBF = tcHandle(2);

const NS_PER_MS = 1e6;
const MS_PER_SECOND = 1000;
const BITS_PER_BYTE = 8;
/** What may leave at once: what the rate gives in so many milliseconds, and two of the packets that the kernel cuts up last. */
const BURST_MS = 5;
const MIN_BURST_BYTES = 16 * 1024;
/** How long a packet waits for its turn before it is dropped. */
const QUEUE_MS = 100;
/** Packets on their way at a time, a second at 100 Mbit/s. */
const NETEM_LIMIT = 8192;
const MAX_BYTES = 0xffffffff;

/** A queueing discipline that is to be there. */
interface Wanted {
  readonly place: QdiscPlace;
  readonly request: Request;
}

/** What conditions come to on one end, the outermost first. */
function wantedOn(link: number, conditions: NetConditions, isOutgoing: boolean): Wanted[] {
  const { rateBitsPerSecond, delayMs = 0, jitterMs = 0, lossPercent = 0 } = conditions;
  const wanted: Wanted[] = [];
  // both directions would delay twice: what the container sends is late, what it gets is not
  if (isOutgoing && (delayMs > 0 || lossPercent > 0)) {
    const place = { link, parent: TC_ROOT, handle: NETEM };
    const [delayNs, jitterNs] = [delayMs, jitterMs].map((ms) => BigInt(Math.round(ms * NS_PER_MS)));
    const settings = { delayNs: delayNs ?? 0n, jitterNs: jitterNs ?? 0n, loss: lossPercent / 100, limit: NETEM_LIMIT };
    wanted.push({ place, request: setNetem(place, settings) });
  }
  if (rateBitsPerSecond !== undefined) {
    const place = { link, parent: wanted.length > 0 ? NETEM_CLASS : TC_ROOT, handle: TBF };
    const bytesPerMs = rateBitsPerSecond / BITS_PER_BYTE / MS_PER_SECOND;
    const burstBytes = Math.min(MAX_BYTES, Math.round(Math.max(MIN_BURST_BYTES, bytesPerMs * BURST_MS)));
    const limitBytes = Math.min(MAX_BYTES, Math.round(burstBytes + bytesPerMs * QUEUE_MS));
    wanted.push({ place, request: setTbf(place, { rateBitsPerSecond, burstBytes, limitBytes }) });
  }
  return wanted;
}

/** What is there and not wanted any more, the outermost first; an inner one goes with it. */
function leftovers(socket: NetlinkSocket, link: number, wanted: readonly Wanted[]): Request[] {
  return listQdiscs(socket, link)
    .filter(({ handle }) => handle === NETEM || handle === TBF)
    .filter(({ handle, parent }) => !wanted.some(({ place }) => place.handle === handle && place.parent === parent))
    .sort((a, b) => Number(b.parent === TC_ROOT) - Number(a.parent === TC_ROOT))
    .map(deleteQdisc);
}

/** Which setting a refused request was about. */
function refusal(error: NetlinkError): unknown {
  if (!isErrno(error, "ENOENT") || !error.call.startsWith("set qdisc")) return error;
  const [module, what] = error.call.endsWith("netem") ? ["sch_netem", "delay, jitter and loss"] : ["sch_tbf", "the rate"];
  return new DhowError(
    "unsupported",
    `set ${what} of a network: this host's kernel has no ${module} (CONFIG_NET_${module.toUpperCase()})`,
    {
      cause: error,
    },
  );
}

function setOn(socket: NetlinkSocket, name: string, conditions: NetConditions, isOutgoing: boolean): void {
  const link = findLink(socket, name)?.index;
  if (link === undefined) throw new DhowError("internal", `find interface ${name}: it is gone`);
  const wanted = wantedOn(link, conditions, isOutgoing);
  const gone = leftovers(socket, link, wanted);
  // an inner one that went with its outer one is not there any more
  const answers = gone.length === 0 ? [] : socket.requestAll(gone);
  for (const failed of answers) if (failed !== undefined && !isErrno(failed, "ENOENT", "EINVAL")) throw failed;
  for (const { request } of wanted) {
    const [failed] = socket.requestAll([request]);
    if (failed !== undefined) throw refusal(failed);
  }
}

/**
 * Makes an interface of a container as slow and lossy as `conditions` say: its rate both ways, delay, jitter and loss for what it sends.
 * What was set before is changed in place where it is of the same kind, with the packets that wait in it; none: everything is taken away.
 * @throws unsupported when the kernel lacks what it takes, and then nothing is left; {NetlinkError}
 */
export function applyConditions({ home, netns, interfaceName, hostInterface }: ConditionedLink, conditions: NetConditions): void {
  const both = (wanted: NetConditions): void => {
    insideNetns(home, netns.fd, () => {
      using inside = new NetlinkSocket(NETLINK.ROUTE, { receiveBytes: 8192 });
      setOn(inside, interfaceName, wanted, true);
    });
    if (hostInterface === undefined) return;
    // what the host's end sends is what the container gets
    using outside = new NetlinkSocket(NETLINK.ROUTE, { receiveBytes: 8192 });
    setOn(outside, hostInterface, wanted, false);
  };
  try {
    both(conditions);
  } catch (error) {
    both({});
    throw error;
  }
}
