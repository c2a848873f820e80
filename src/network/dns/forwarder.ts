import { errorMessage } from "../../lib/mod.ts";
import type { DnsContext } from "./context.ts";
import { Quota } from "./context.ts";
import { type AnswerOptions, type Query, RCODE, rcodeOf, readAddresses, TYPE, udpLimitOf, writeAnswer } from "./message.ts";
import { Health, Race } from "./race.ts";
import type { SandboxDnsOptions, Upstream } from "./types.ts";
import { type Asking, Upstreams } from "./upstreams.ts";

/** Queries of one sandbox that are handed on at once: docker's number. */
const MAX_PER_SANDBOX = 1024;
/** A longer query is none that a resolver would send. */
const MAX_QUERY_BYTES = 4096;
/** Servers that are asked; docker's number, and that of resolv.conf(5). */
const MAX_UPSTREAMS = 3;
const OWN_ADDRESS = "127.0.0.11";

type Verdict = ReturnType<NonNullable<SandboxDnsOptions["onAnswer"]>>;

/** Gives the client its answer; the bytes are good until this returns. */
export type Reply = (answer: Uint8Array) => void;

/** Hands the queries of one sandbox on to other name servers, and their answers back byte for byte. */
export class Forwarder implements Disposable {
  readonly #context: DnsContext;
  readonly #o: SandboxDnsOptions;
  readonly #upstreams: Upstreams;
  readonly #health = new Health();
  readonly #forwards = new Quota(MAX_PER_SANDBOX);
  readonly #races = new Set<Race>();
  #isClosed = false;

  constructor(context: DnsContext, options: SandboxDnsOptions) {
    this.#context = context;
    this.#o = options;
    this.#upstreams = new Upstreams(context, options.netns);
  }

  /**
   * Hands a query on as it came, over the transport that it came by. `reply` is called once, with an error when nobody answers; never after
   * the forwarder is closed. `received` is copied.
   */
  forward(received: Buffer, query: Query, isTcp: boolean, reply: Reply): void {
    const upstreams = this.#o
      .upstreams()
      .filter((upstream) => !isOurself(upstream))
      .slice(0, MAX_UPSTREAMS);
    const rcode = this.#refusal(received, query, upstreams);
    if (rcode === undefined) this.#race({ message: Buffer.from(received), query }, upstreams, isTcp, reply);
    else reply(writeAnswer(received, query, { rcode, limitBytes: 0 }));
  }

  /** The code of the answer that a query gets at once; undefined: it is handed on, and counted. */
  #refusal(received: Buffer, query: Query, upstreams: readonly Upstream[]): number | undefined {
    if (received.length > MAX_QUERY_BYTES) return RCODE.FORMERR;
    // resolvers take REFUSED for a server's fault: they wait, and give up the rest of their search list
    if (this.#o.mayForward?.(query.name) === false) return RCODE.NXDOMAIN;
    if (this.#staysHere(query)) return RCODE.NOERROR;
    if (upstreams.length === 0) return RCODE.SERVFAIL;
    return this.#take() ? undefined : RCODE.REFUSED;
  }

  /** Ends what is under way; no client is told. */
  [Symbol.dispose](): void {
    this.#isClosed = true;
    for (const race of this.#races) race[Symbol.dispose]();
    this.#upstreams[Symbol.dispose]();
    while (this.#forwards.used > 0) this.#give();
  }

  #staysHere({ name, type }: Query): boolean {
    const isAddress = type === TYPE.A || type === TYPE.AAAA;
    return isAddress && !name.includes(".") && this.#o.keepsSingleLabels?.() === true;
  }

  #take(): boolean {
    if (!this.#forwards.take()) return false;
    if (this.#context.forwards.take()) return true;
    this.#forwards.give();
    return false;
  }

  #give(): void {
    this.#forwards.give();
    this.#context.forwards.give();
  }

  #race(asking: Asking, upstreams: readonly Upstream[], isTcp: boolean, reply: Reply): void {
    const race = new Race({
      upstreams,
      health: this.#health,
      ask: (upstream, onAnswer) =>
        isTcp ? this.#upstreams.askOverTcp(upstream, asking, onAnswer) : this.#upstreams.ask(upstream, asking, onAnswer),
      onEnd: (answer) => {
        this.#give();
        this.#answer(asking, answer, isTcp, reply);
      },
      onGone: () => this.#races.delete(race),
    });
    this.#races.add(race);
    race.start();
  }

  #answer({ message, query }: Asking, answer: Buffer | undefined, isTcp: boolean, reply: Reply): void {
    const own = (options: Omit<AnswerOptions, "limitBytes">): Buffer => writeAnswer(message, query, { ...options, limitBytes: 0 });
    const verdict = answer && this.#verdictOn(answer, query);
    if (answer === undefined || verdict === "malformed") {
      reply(own({ rcode: RCODE.SERVFAIL }));
      return;
    }
    // a server may not send more than it was told; what it sent all the same is to be had over TCP
    const fits = isTcp || answer.length <= udpLimitOf(query);
    const end = (isAllowed: boolean | undefined, whole: Buffer): void => {
      if (!this.#isClosed) reply(isAllowed === false ? own({ rcode: RCODE.REFUSED }) : fits ? whole : own({ isTruncated: true }));
    };
    if (!(verdict instanceof Promise)) {
      end(verdict, answer);
      return;
    }
    const kept = Buffer.from(answer);
    verdict.then(
      (isAllowed) => end(isAllowed, kept),
      (error: unknown) => {
        this.#context.log.warn("dns answer was held back", { error: errorMessage(error) });
        end(false, kept);
      },
    );
  }

  /** What `onAnswer` says of an answer without an error. */
  #verdictOn(answer: Buffer, query: Query): Verdict | "malformed" {
    if (this.#o.onAnswer === undefined || rcodeOf(answer) !== RCODE.NOERROR) return undefined;
    const read = readAddresses(answer, query);
    return read === undefined ? "malformed" : this.#o.onAnswer({ name: query.name, ...read });
  }
}

/** Docker's own address as an upstream (`--dns 127.0.0.11`) would have this server ask itself without end. */
function isOurself({ address, isFromHost }: Upstream): boolean {
  return address === OWN_ADDRESS && !isFromHost;
}
