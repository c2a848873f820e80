import type { Logger } from "../lib/mod.ts";
import { type Link, listLinks, type NetlinkSocket } from "../linux/mod.ts";
import { type AuditSurroundings, type BridgePlace, cutOffs } from "./port-audit.ts";
import { type Ruleset, readRuleset } from "./ruleset.ts";
import { RulesetWalk } from "./ruleset-walk.ts";

/** The host around this daemon's networks, and what of it can't be told. */
export interface Surroundings {
  readonly host: AuditSurroundings;
  /** One sentence each. */
  readonly notes: readonly string[];
}

/** Reads the rules and interfaces of the host. Spawns nft(8) and iptables-legacy(8). @throws unavailable */
export async function lookAround(
  route: NetlinkSocket,
  { tableName, bridges }: { readonly tableName: string; readonly bridges: readonly BridgePlace[] },
): Promise<Surroundings> {
  const [ruleset, notes] = await Promise.all([readRuleset(), legacyNotes()]);
  const own = new Set(bridges.map(({ bridge }) => bridge));
  const { outside, neighbours } = interfacesOf(listLinks(route), own);
  return { host: { walk: new RulesetWalk(ruleset), tableName, bridges, outside, neighbours }, notes: [...notes, ...blindSpots(ruleset)] };
}

/** Ends of what only leads to this host's own containers and virtual machines. */
const INNER_KINDS: ReadonlySet<string> = new Set(["veth", "tun"]);

/**
 * The interfaces by which packets come: from elsewhere, and from bridges of others, which lead to nobody outside. Not the loopback, not
 * our bridges, and nothing that is plugged into a bridge, which the packets come by then.
 */
export function interfacesOf(
  links: readonly Link[],
  own: ReadonlySet<string>,
): { readonly outside: readonly string[]; readonly neighbours: readonly string[] } {
  const leadsOut = ({ index, kind }: Link): boolean =>
    kind !== "bridge" || links.some(({ master, kind: port }) => master === index && !INNER_KINDS.has(port));
  const found = links.filter(
    ({ name, isUp, master }) => isUp && master === 0 && name !== "lo" && !own.has(name) && !OWN_INTERFACE.test(name),
  );
  return {
    outside: found.filter(leadsOut).map(({ name }) => name),
    neighbours: found.filter((link) => !leadsOut(link)).map(({ name }) => name),
  };
}

/** What a moment ago was to be plugged into one of our bridges. */
const OWN_INTERFACE = /^veth[0-9a-f]{7}$/;

function blindSpots({ chains }: Ruleset): string[] {
  const families = new Set(
    chains.filter(({ family, base }) => base !== undefined && (family === "bridge" || family === "netdev")).map((c) => c.family),
  );
  return [...families].map((family) => `rules of the family ${family} are not looked at`);
}

/** What says whether iptables of before nftables has rules. */
async function legacyNotes(): Promise<string[]> {
  const notes: string[] = [];
  for (const command of ["iptables-legacy", "ip6tables-legacy"]) {
    const rules = await output([command, "-S", "FORWARD"]);
    if (rules.includes("-P FORWARD DROP")) {
      notes.push(`${command} drops forwarded packets by policy: containers may be cut off; accept the interfaces of their bridges there`);
    } else if (rules.includes("-A ")) notes.push(`rules of ${command} are not looked at`);
  }
  return notes;
}

async function output(command: readonly string[]): Promise<string> {
  try {
    const child = Bun.spawn([...command], { stdin: "ignore", stdout: "pipe", stderr: "ignore" });
    const text = await child.stdout.text();
    return (await child.exited) === 0 ? text : "";
  } catch {
    return "";
  }
}

/** Looks after what keeps containers from the outside, again whenever a network is new; says each thing once. */
export class CutOffWatch {
  readonly #look: () => Promise<Surroundings>;
  readonly #log: Logger;
  readonly #said = new Set<string>();
  #warnings: readonly string[] = [];
  #current: Promise<void> | undefined;
  #isAsked = false;

  constructor(look: () => Promise<Surroundings>, log: Logger) {
    this.#look = look;
    this.#log = log;
  }

  get warnings(): readonly string[] {
    return this.#warnings;
  }

  /** Looks again in the background. */
  check(): void {
    this.#isAsked = true;
    this.#current ??= this.#run().finally(() => {
      this.#current = undefined;
    });
  }

  async #run(): Promise<void> {
    while (this.#isAsked) {
      this.#isAsked = false;
      try {
        const { host, notes } = await this.#look();
        this.#warnings = [...cutOffs(host), ...notes.filter((note) => note.includes("drops"))];
      } catch (error) {
        this.#log.warn("the firewall of the host could not be looked at", { error });
      }
      for (const warning of this.#warnings) {
        if (!this.#said.has(warning)) this.#log.warn(warning);
        this.#said.add(warning);
      }
    }
  }
}
