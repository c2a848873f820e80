/**
 * Network namespaces that play a host and one outside of it, for tests: this process's main thread moves into the first, until `close`.
 *
 *     outside eth0 198.51.100.2, .3, 2001:db8:51::2, ::3  ──  wan0 198.51.100.1, 2001:db8:51::1 host
 */
import { expect } from "bun:test";
import { silentLogger } from "../lib/mod.ts";
import {
  addIpAddress,
  addRoute,
  addVeth,
  CLONE_NEWNET,
  createNetnsFd,
  currentNetns,
  type Fd,
  findLink,
  insideNetns,
  listLinks,
  NETLINK,
  NetlinkSocket,
  type Request,
  setLink,
  setns,
} from "../linux/mod.ts";
import { Database, MIGRATIONS } from "../metadata/mod.ts";
import { ipBytes, parseIp } from "./ip.ts";
import { Networking } from "./networking.ts";
import type { NetworkingOptions } from "./networking-options.ts";
import { type PortSpecs, parsePortSpecs } from "./port-specs.ts";
import type { EndpointWish, Sandbox } from "./sandbox.ts";

export const HOST = "198.51.100.1";
export const HOST6 = "2001:db8:51::1";
export const OUTSIDE = "198.51.100.2";
export const OUTSIDE6 = "2001:db8:51::2";
/** Another address of the same outside host. */
export const OTHER = "198.51.100.3";
export const OTHER6 = "2001:db8:51::3";
/** How long a test waits for an answer that is not to come. */
const NO_ANSWER_MS = 800;

const ip = (text: string): Uint8Array => ipBytes(parseIp(text));

function up(...requests: Request[]): void {
  using socket = new NetlinkSocket(NETLINK.ROUTE);
  socket.request(...requests);
}

/** Where a client is and what it asks; `from` is its own address. */
export interface Question {
  /** Path of its network namespace; undefined: the host's. */
  readonly netns?: string | undefined;
  readonly host: string;
  readonly port: number;
  readonly from?: string | undefined;
  readonly protocol?: "tcp" | "udp";
}

interface Child {
  kill(signal?: number): void;
  readonly exited: Promise<number>;
}

export class Lab {
  readonly outside: string;
  /** The namespace that plays the host, as a path. */
  readonly host: string;
  readonly #origin: Fd;
  readonly #host: Fd;
  readonly #outside: Fd;
  readonly #children: Child[] = [];
  readonly #opened: Networking[] = [];
  readonly #databases: Database[] = [];

  constructor() {
    this.#origin = currentNetns();
    this.#host = createNetnsFd(this.#origin, () => {});
    this.#outside = insideNetns(this.#origin, this.#host.fd, () => {
      const outside = createNetnsFd(this.#host, () => {});
      up(setLink(1, { up: true }), addVeth({ name: "wan0" }, { name: "eth0", index: 2, netnsFd: outside.fd }));
      using socket = new NetlinkSocket(NETLINK.ROUTE);
      const wan = findLink(socket, "wan0")?.index ?? 0;
      up(setLink(wan, { up: true }), addIpAddress(wan, ip(HOST), 24), addIpAddress(wan, ip(HOST6), 64));
      return outside;
    });
    insideNetns(this.#origin, this.#outside.fd, () => {
      up(setLink(1, { up: true }), setLink(2, { up: true }));
      up(...[OUTSIDE, OTHER].map((a) => addIpAddress(2, ip(a), 24)), ...[OUTSIDE6, OTHER6].map((a) => addIpAddress(2, ip(a), 64)));
      up(addRoute({ family: 4, gateway: ip(HOST), index: 2 }), addRoute({ family: 6, gateway: ip(HOST6), index: 2 }));
    });
    this.host = `/proc/${process.pid}/fd/${this.#host.fd}`;
    this.outside = `/proc/${process.pid}/fd/${this.#outside.fd}`;
    setns(this.#host.fd, CLONE_NEWNET);
  }

  database(path = ":memory:"): Database {
    const db = Database.open(path, MIGRATIONS);
    this.#databases.push(db);
    return db;
  }

  async networking(options: Partial<NetworkingOptions> = {}): Promise<Networking> {
    const n = new Networking({
      db: options.db ?? this.database(),
      log: silentLogger,
      bridgeName: "dhowtest0",
      tableName: "dhowtest0",
      bip: "10.93.0.1/24",
      poolSize: 1,
      ...options,
    });
    this.#opened.push(n);
    await n.start();
    return n;
  }

  /** Ends a daemon as if it were killed: nothing is taken back. */
  abandon(n: Networking): void {
    this.#opened.splice(this.#opened.indexOf(n), 1);
    n.stop();
  }

  /** Ends a daemon, with all that it has made of the network. */
  end(n: Networking): void {
    this.#opened.splice(this.#opened.indexOf(n), 1);
    n.stop({ removeAll: true });
  }

  /** The names of the host's interfaces. */
  links(): string[] {
    using socket = new NetlinkSocket(NETLINK.ROUTE);
    return listLinks(socket).map(({ name }) => name);
  }

  /** Starts a server in a namespace that answers with its name and its client's address, then echoes; TCP and UDP, both families. */
  async serve(netns: string, name: string, port: number): Promise<void> {
    const code = `
      const dgram = require("node:dgram");
      Bun.listen({ hostname: "::", port: ${port}, socket: { open(s) { s.write("${name} " + s.remoteAddress.replace("::ffff:", "") + "\\n"); }, data(s, d) { s.write(d); } } });
      const u = dgram.createSocket("udp6");
      u.on("message", (m, from) => u.send("${name} " + from.address.replace("::ffff:", "") + "\\n", from.port, from.address));
      u.bind(${port}, "::", () => console.log("ready"));`;
    expect(await this.#start([...inside(netns), process.execPath, "-e", code]).line()).toBe("ready");
  }

  /** What a server says first; `timeout`, or an errno. */
  async ask(question: Question): Promise<string> {
    const [answer = ""] = await this.askAll([question], question.netns);
    return answer;
  }

  /** The same for many at once, all of them from one namespace. */
  async askAll(questions: readonly Question[], netns: string | undefined): Promise<readonly string[]> {
    const code = `
      const net = require("node:net"), dgram = require("node:dgram");
      const tcp = ({ host, port, from }) => new Promise((done) => {
        const s = net.connect({ host, port, ...(from && { localAddress: from }) });
        s.setTimeout(${NO_ANSWER_MS}, () => done("timeout"));
        s.on("data", (d) => done(d.toString().trim())); s.on("error", (e) => done(e.code)); s.on("close", () => done("closed"));
      });
      const udp = ({ host, port, from }) => new Promise((done) => {
        const u = dgram.createSocket(host.includes(":") ? "udp6" : "udp4");
        u.on("message", (m) => done(m.toString().trim())); u.on("error", (e) => done(e.code));
        u.bind(0, from, () => u.send("hi", port, host)); setTimeout(() => done("timeout"), ${NO_ANSWER_MS});
      });
      const answers = await Promise.all(${JSON.stringify(questions)}.map((q) => (q.protocol === "udp" ? udp : tcp)(q)));
      console.log(JSON.stringify(answers));
      process.exit(0);`;
    const child = Bun.spawn([...inside(netns), process.execPath, "-e", code], { stdout: "pipe", stderr: "inherit" });
    return JSON.parse(await child.stdout.text());
  }

  /** Opens a connection that says something every few milliseconds, until it is told to end or is cut. */
  async stream(question: Question): Promise<Stream> {
    const { netns, host, port } = question;
    const code = `
      const s = require("node:net").connect({ host: "${host}", port: ${port} });
      let greeted = false, got = 0;
      const say = () => s.write("x");
      s.on("data", (d) => {
        if (!greeted) { greeted = true; console.log("open"); say(); return; }
        got += d.length; setTimeout(say, 2);
      });
      const end = (how) => { console.log(JSON.stringify({ how, got })); process.exit(0); };
      s.on("error", (e) => end(e.code)); s.on("close", () => end("closed"));
      process.stdin.on("data", () => end("asked"));`;
    const { line, stdin } = this.#start([...inside(netns), process.execPath, "-e", code]);
    expect(await line()).toBe("open");
    return {
      end: async () => {
        stdin.write("end");
        await stdin.flush();
        return JSON.parse(await line());
      },
      ended: async () => JSON.parse(await line()),
    };
  }

  /** Starts a TCP server of which each connection is told how it ended, by its client's port; one that `speaks` says something all the time. */
  async watch(netns: string, port: number, speaks: boolean): Promise<() => Promise<string>> {
    const code = `
      require("node:net").createServer((s) => {
        const told = (how) => console.log(how);
        const timer = ${speaks} ? setInterval(() => s.write("x"), 2) : undefined;
        s.on("data", () => {}); s.on("error", (e) => told(e.code)); s.on("end", () => told("end")); s.on("close", () => clearInterval(timer));
      }).listen(${port}, "::", () => console.log("ready"));`;
    const { line } = this.#start([...inside(netns), process.execPath, "-e", code]);
    expect(await line()).toBe("ready");
    return line;
  }

  /** Connects, and says something all the time only if it `speaks`. What it returns tells how the connection ended. */
  async hold({ netns, host, port }: Question, speaks: boolean): Promise<() => Promise<string>> {
    const code = `
      const s = require("node:net").connect({ host: "${host}", port: ${port} }, () => {
        console.log("open");
        if (${speaks}) setInterval(() => s.write("x"), 2);
      });
      s.on("data", () => {}); s.on("error", (e) => console.log(e.code)); s.on("end", () => console.log("end"));`;
    const { line } = this.#start([...inside(netns), process.execPath, "-e", code]);
    expect(await line()).toBe("open");
    return line;
  }

  /** Starts a UDP server that, once somebody has said something to it, speaks to him all the time. */
  async push(netns: string, port: number): Promise<void> {
    const code = `
      const u = require("node:dgram").createSocket("udp6");
      const known = new Map();
      u.on("message", (_, from) => known.set(from.address + " " + from.port, from));
      u.on("error", () => {});
      setInterval(() => { for (const { address, port } of known.values()) u.send("x", port, address, () => {}); }, 5);
      u.bind(${port}, "::", () => console.log("ready"));`;
    expect(await this.#start([...inside(netns), process.execPath, "-e", code]).line()).toBe("ready");
  }

  /** Speaks to a UDP server all the time. What it returns tells whether the server has been heard in the tenth of a second before. */
  async chat({ netns, host, port, from }: Question): Promise<() => Promise<boolean>> {
    const code = `
      const u = require("node:dgram").createSocket("${host.includes(":") ? "udp6" : "udp4"}");
      let got = 0;
      u.on("message", () => got++);
      u.on("error", () => {});
      u.bind(0, ${JSON.stringify(from)}, () => u.connect(${port}, "${host}", () => setInterval(() => u.send("x", () => {}), 5)));
      setInterval(() => { console.log(got > 0); got = 0; }, 100);`;
    const child = Bun.spawn([...inside(netns), process.execPath, "-e", code], { stdout: "pipe", stderr: "inherit" });
    this.#children.push(child);
    let lines: string[] = [];
    const seen = new WritableStream<Uint8Array>({ write: (chunk) => void lines.push(...Buffer.from(chunk).toString().trim().split("\n")) });
    void child.stdout.pipeTo(seen);
    return async () => {
      lines = [];
      // the first of them is of the time before, too
      while (lines.length < 2) await Bun.sleep(10);
      return lines[1] === "true";
    };
  }

  /** Starts a program; `line` reads the next line that it prints. */
  #start(command: readonly string[]): { readonly line: () => Promise<string>; readonly stdin: Bun.FileSink } {
    const child = Bun.spawn([...command], { stdin: "pipe", stdout: "pipe", stderr: "inherit" });
    this.#children.push(child);
    const reader = child.stdout.getReader();
    let text = "";
    const line = async (): Promise<string> => {
      for (let at = text.indexOf("\n"); ; at = text.indexOf("\n")) {
        if (at >= 0) {
          const found = text.slice(0, at);
          text = text.slice(at + 1);
          return found;
        }
        const { value, done } = await reader.read();
        if (done) throw new Error("a program ended without a word");
        text += Buffer.from(value).toString();
      }
    };
    return { line, stdin: child.stdin };
  }

  /** How many TCP segments a namespace has sent again. */
  resent(netns: string): number {
    const [names = [], values = []] = this.sh(netns, "grep ^Tcp: /proc/net/snmp")
      .split("\n")
      .map((line) => line.split(" "));
    return Number(values[names.indexOf("RetransSegs")]);
  }

  /** Keeps a namespace from going: a process in it. Returns its pid. */
  keep(netns: string): number {
    const child = Bun.spawn([...inside(netns), "sleep", "1000"]);
    this.#children.push(child);
    return child.pid;
  }

  /** Runs a command in a namespace; undefined: the host's. @throws when it fails */
  sh(netns: string | undefined, command: string): string {
    const { stdout, stderr, exitCode } = Bun.spawnSync([...inside(netns), "sh", "-c", command]);
    if (exitCode !== 0) throw new Error(`${command}: ${stderr}`);
    return stdout.toString().trim();
  }

  /** Ends what a test left: servers, containers, bridges and tables. */
  async reset(): Promise<void> {
    for (const child of this.#children.splice(0)) {
      child.kill(9);
      await child.exited;
    }
    for (const n of this.#opened.splice(0)) {
      for (const s of n.sandboxes()) n.release(s.containerId);
      for (const { id, isPredefined } of n.networks()) if (!isPredefined) await n.removeNetwork(id);
      n.stop({ removeAll: true });
    }
    for (const db of this.#databases.splice(0)) db[Symbol.dispose]();
  }

  close(): void {
    setns(this.#origin.fd, CLONE_NEWNET);
    for (const fd of [this.#host, this.#outside, this.#origin]) fd.close();
  }
}

export interface Stream {
  /** How it ended, and how many answers it got. */
  end(): Promise<{ readonly how: string; readonly got: number }>;
  /** The same, once it ends by itself. */
  ended(): Promise<{ readonly how: string; readonly got: number }>;
}

function inside(netns: string | undefined): string[] {
  return netns === undefined ? [] : ["nsenter", `--net=${netns}`];
}

/** `{"80/tcp": "127.0.0.1:8080"}` as a request; `allow` by container port. */
export function ports(
  bindings: Readonly<Record<string, string | readonly string[]>>,
  allow: Readonly<Record<string, string[]>> = {},
): PortSpecs {
  const portBindings = Object.fromEntries(
    Object.entries(bindings).map(([key, value]) => [
      key,
      [value].flat().map((text) => {
        const at = text.lastIndexOf(":");
        return { HostIp: at < 0 ? "" : text.slice(0, at), HostPort: text.slice(at + 1) };
      }),
    ]),
  );
  return parsePortSpecs({ exposedPorts: {}, portBindings, publishAll: false, allow: new Map(Object.entries(allow)) });
}

/** Creates a bridge network and returns its id. */
export async function bridge(
  n: Networking,
  name: string,
  more: { readonly subnets?: readonly string[]; readonly isInternal?: boolean; readonly options?: Readonly<Record<string, string>> } = {},
): Promise<string> {
  const { subnets = ["10.94.0.0/24"], isInternal = false, options = {} } = more;
  const created = await n.createNetwork({
    name,
    driver: "bridge",
    isInternal,
    isAttachable: false,
    isConfigOnly: false,
    configFrom: "",
    hasIpv4: subnets.some((s) => !s.includes(":")),
    hasIpv6: subnets.some((s) => s.includes(":")),
    ipamDriver: "default",
    ipamOptions: {},
    pools: subnets.map((subnet) => ({ subnet })),
    options,
    labels: {},
  });
  return created.id;
}

/** A sandbox's address on its first network; empty when it has none. */
export function addressOf({ endpoints }: Sandbox, family: 4 | 6 = 4): string {
  return endpoints[0]?.[family === 4 ? "ipv4" : "ipv6"]?.address ?? "";
}

/** A container's sandbox on networks, the default bridge where none is named. */
export function take(
  n: Networking,
  id: string,
  specs: PortSpecs = ports({}),
  networks: readonly (string | EndpointWish)[] = [],
): Promise<Sandbox> {
  const endpoints = networks.length > 0 ? networks : [n.network("bridge")?.id ?? ""];
  return n.acquire(id, {
    containerName: id,
    ports: specs,
    endpoints: endpoints.map((e) => (typeof e === "string" ? { networkId: e, names: [] } : e)),
  });
}
