import { createSocket } from "node:dgram";
import { connect, createServer, type NetConnectOpts, type Socket } from "node:net";
import {
  bindInet,
  connectTcp,
  createNetnsFd,
  currentNetns,
  type Fd,
  insideNetns,
  NETLINK,
  NetlinkSocket,
  setLink,
} from "../../linux/mod.ts";
import { tryIpBytes } from "../ip.ts";

/** A network namespace with its loopback up, gone at the end. */
export class TestNetns implements Disposable {
  readonly home: Fd;
  readonly netns: Fd;

  constructor() {
    this.home = currentNetns();
    this.netns = createNetnsFd(this.home, () => {
      using route = new NetlinkSocket(NETLINK.ROUTE);
      route.request(setLink(1, { up: true }));
    });
  }

  /** For commands that are to run in it. */
  get path(): string {
    return `/proc/${process.pid}/fd/${this.netns.fd}`;
  }

  inside<T>(work: () => T): T {
    return insideNetns(this.home, this.netns.fd, work);
  }

  /** Runs a command in it. @throws when it fails */
  async run(...command: readonly string[]): Promise<string> {
    const { exitCode, stdout, stderr } = await this.spawn(...command);
    if (exitCode !== 0) throw new Error(`${command.join(" ")}: exit code ${exitCode}\n${stdout}${stderr}`);
    return stdout.trim();
  }

  /** Runs a command in it, which may fail. */
  async spawn(...command: readonly string[]): Promise<{ readonly exitCode: number; readonly stdout: string; readonly stderr: string }> {
    const child = Bun.spawn(["nsenter", `--net=${this.path}`, ...command], { stdio: ["ignore", "pipe", "pipe"] });
    const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
    return { exitCode: await child.exited, stdout, stderr };
  }

  [Symbol.dispose](): void {
    this.netns.close();
    this.home.close();
  }
}

/** What a name server of a test does with a query: answers, with any number of messages, or says nothing. */
export type Answerer = (query: Buffer, transport: "udp" | "tcp") => Buffer | readonly Buffer[] | undefined;

/** A name server in a namespace, over UDP and TCP; `asked` holds every query that came. */
export class TestUpstream implements Disposable {
  readonly asked: Buffer[] = [];
  readonly ports = new Set<number>();
  readonly #close: () => void;
  readonly #push: (answer: Buffer) => void;

  private constructor(close: () => void, push: (answer: Buffer) => void) {
    this.#close = close;
    this.#push = push;
  }

  /** Sends an answer over UDP to who asked last. */
  push(answer: Buffer): void {
    this.#push(answer);
  }

  static async start(netns: TestNetns | undefined, address: string, answerer: Answerer, port = 53): Promise<TestUpstream> {
    const udp = createSocket(address.includes(":") ? "udp6" : "udp4");
    const sockets = new Set<Socket>();
    let last = { port: 0, address: "" };
    let isClosed = false;
    const close = (): void => {
      isClosed = true;
      udp.close();
      tcp.close();
      for (const socket of sockets) socket.destroy();
    };
    const upstream: TestUpstream = new TestUpstream(close, (pushed) => {
      if (!isClosed) udp.send(pushed, last.port, last.address);
    });
    const answersTo = (query: Buffer, transport: "udp" | "tcp"): readonly Buffer[] => {
      upstream.asked.push(Buffer.from(query));
      const answer = answerer(Buffer.from(query), transport);
      return answer === undefined ? [] : Buffer.isBuffer(answer) ? [answer] : (answer as readonly Buffer[]);
    };
    udp.on("message", (query, from) => {
      last = from;
      upstream.ports.add(from.port);
      for (const answer of answersTo(query, "udp")) udp.send(answer, from.port, from.address);
    });
    const tcp = createServer((socket) => {
      sockets.add(socket);
      socket.on("error", () => socket.destroy());
      socket.on("data", (data: Buffer) => {
        for (const answer of answersTo(data.subarray(2), "tcp")) socket.write(framed(answer));
      });
    });
    const listen = (): void => {
      // node:dgram binds an address later, when this thread is at home again
      const bound = bindInet({ protocol: "udp", address: tryIpBytes(address) ?? new Uint8Array(4), port });
      udp.bind({ fd: bound.release() });
      tcp.listen(port, address);
    };
    if (netns === undefined) listen();
    else netns.inside(listen);
    await Promise.all([new Promise<void>((resolve) => udp.once("listening", () => resolve())), untilListening(tcp)]);
    return upstream;
  }

  [Symbol.dispose](): void {
    this.#close();
  }
}

function untilListening(server: ReturnType<typeof createServer>): Promise<void> {
  return server.listening ? Promise.resolve() : new Promise((resolve) => server.once("listening", () => resolve()));
}

/** A message after its length, as over TCP. */
export function framed(message: Uint8Array): Buffer {
  return Buffer.concat([Uint8Array.of(message.length >> 8, message.length & 255), message]);
}

/** A query for type A unless `type` says another; of EDNS when `udpBytes` is given. */
export function query(name: string, options: { readonly id?: number; readonly type?: number; readonly udpBytes?: number } = {}): Buffer {
  const { id = 0x4321, type = 1, udpBytes } = options;
  const labels = name.split(".").filter(Boolean);
  const words = (...values: number[]): Uint8Array => Uint8Array.from(values.flatMap((v) => [v >> 8, v & 255]));
  const opt = udpBytes === undefined ? [] : [Uint8Array.of(0), words(41, udpBytes, 0, 0, 0)];
  return Buffer.concat([
    words(id, 0x0100, 1, 0, 0, opt.length === 0 ? 0 : 1),
    ...labels.flatMap((label) => [Uint8Array.of(label.length), Buffer.from(label, "latin1")]),
    Uint8Array.of(0),
    words(type, 1),
    ...opt,
  ]);
}

/** An answer to a query without EDNS: its flags' second byte is RA and the code, and A records of these last bytes of 192.0.2.x follow. */
export function answer(
  to: Buffer,
  options: { readonly rcode?: number; readonly hosts?: readonly number[]; readonly tail?: Buffer } = {},
): Buffer {
  const { rcode = 0, hosts = [], tail = Buffer.alloc(0) } = options;
  const bytes = Buffer.from(to);
  bytes[2] = 0x81;
  bytes[3] = 0x80 | rcode;
  bytes.writeUInt16BE(hosts.length, 6);
  const records = hosts.map((host) => Uint8Array.of(0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 192, 0, 2, host));
  return Buffer.concat([bytes, ...records, tail]);
}

/** A UDP client at 127.0.0.1 of a namespace that asks 127.0.0.11. */
export class TestClient implements Disposable {
  readonly #socket = createSocket("udp4");
  readonly received: Buffer[] = [];
  #wake = (): void => {};

  constructor(netns: TestNetns) {
    const bound = netns.inside(() => bindInet({ protocol: "udp", address: Uint8Array.of(127, 0, 0, 1), port: 0 }));
    this.#socket.bind({ fd: bound.release() });
    this.#socket.on("message", (message) => {
      this.received.push(Buffer.from(message));
      this.#wake();
    });
  }

  send(message: Uint8Array): void {
    this.#socket.send(message, 53, "127.0.0.11");
  }

  /** Resolves when `count` messages have come. */
  async until(count: number): Promise<readonly Buffer[]> {
    while (this.received.length < count) await new Promise<void>((resolve) => (this.#wake = resolve));
    return this.received;
  }

  /** Sends a query and resolves with the next answer that has its id. */
  async ask(message: Uint8Array): Promise<Buffer> {
    this.send(message);
    for (let at = this.received.length; ; at++) {
      const received = (await this.until(at + 1))[at] ?? Buffer.alloc(0);
      if (received[0] === message[0] && received[1] === message[1]) return received;
    }
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }
}

/** A TCP connection from a namespace to 127.0.0.11; its writable half can be closed alone. */
export function connectFrom(netns: TestNetns): Socket {
  const socket = netns.inside(() => connectTcp(Uint8Array.of(127, 0, 0, 11), 53));
  return connect({ fd: socket.release(), allowHalfOpen: true } as unknown as NetConnectOpts);
}
