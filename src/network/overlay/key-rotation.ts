import { errorMessage, type Logger } from "../../lib/mod.ts";
import type { Cluster } from "./cluster.ts";
import { type KeyRing, nextRing } from "./esp.ts";

const KEYS = "keys";
const ROTATION = "rotation";

/** What follows the rotation of keys. */
export interface RotationOptions {
  /** How long keys are in use, if this host is the one that turns to them. */
  readonly rotationSeconds: number;
  /** There are other keys. */
  readonly onChange: () => void;
  /** Whether this host has a use for keys. */
  readonly isWanted: () => boolean;
}

/**
 * The keys of all encrypted networks, in etcd. They are turned when the key `rotation`, which is under a lease of its own, is gone: by
 * etcd's clock, whatever those of the hosts say. Whichever host is first turns them; the others see it.
 */
export class KeyRotation implements Disposable {
  readonly #cluster: Cluster;
  readonly #log: Logger;
  readonly #listening: Disposable;
  readonly #seconds: number;
  #isTurning = false;

  constructor(cluster: Cluster, log: Logger, options: RotationOptions) {
    this.#seconds = options.rotationSeconds;
    this.#cluster = cluster;
    this.#log = log;
    this.#listening = cluster.listen((key, value) => {
      if (key === KEYS) options.onChange();
      if ((key === KEYS || key === ROTATION) && value === undefined && cluster.isReached && options.isWanted()) this.turnWhenDue();
    });
  }

  /** The keys, as far as this host knows; undefined: it has seen none. */
  get ring(): KeyRing | undefined {
    const [[, text] = []] = this.#cluster.entries(KEYS).filter(([key]) => key === KEYS);
    return text === undefined ? undefined : (JSON.parse(text) as KeyRing);
  }

  /** Makes the first keys, or the next ones, when it is time. In the background; to be called again and again, for what fails. */
  turnWhenDue(): void {
    const isThere = (wanted: string): boolean => this.#cluster.entries(wanted).some(([key]) => key === wanted);
    if (this.#isTurning || (isThere(KEYS) && isThere(ROTATION))) return;
    this.#isTurning = true;
    this.#turn()
      .catch((error: unknown) => this.#log.warn("can't rotate the keys of encrypted networks", { error: errorMessage(error) }))
      .finally(() => {
        this.#isTurning = false;
      });
  }

  async #turn(): Promise<void> {
    const [found, timer] = [await this.#cluster.read(KEYS), await this.#cluster.read(ROTATION)];
    if (found !== undefined && timer !== undefined) return;
    const ring = nextRing(found === undefined ? undefined : (JSON.parse(found.value) as KeyRing));
    const lease = await this.#cluster.grantTimer(this.#seconds);
    const isTurned = await this.#cluster.transact(
      [
        found === undefined ? { key: KEYS, isAbsent: true } : { key: KEYS, modRevision: found.modRevision },
        timer === undefined ? { key: ROTATION, isAbsent: true } : { key: ROTATION, modRevision: timer.modRevision },
      ],
      [
        { put: KEYS, value: JSON.stringify(ring) },
        { put: ROTATION, value: "{}", lease },
      ],
    );
    if (isTurned) this.#log.info("the keys of encrypted networks are rotated", { key: ring.current.id });
    // another host was quicker
    else await this.#cluster.revokeTimer(lease);
  }

  [Symbol.dispose](): void {
    this.#listening[Symbol.dispose]();
  }
}
