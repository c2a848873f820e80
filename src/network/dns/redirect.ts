import {
  commit,
  encodeTable,
  hasChain,
  isErrno,
  type NetlinkSocket,
  NF_INET,
  NF_PRIORITY,
  NFPROTO,
  type NftBaseChain,
  type NftBatch,
  type NftExpression,
  PAYLOAD_BASE,
  payloadIs,
  payloadSet,
  replaceTable,
  transportIs,
} from "../../linux/mod.ts";

/** Where containers ask: docker's address. */
export const SERVER_ADDRESS = Uint8Array.of(127, 0, 0, 11);

const TABLE = { family: NFPROTO.IPV4, name: "dhow-dns" } as const;
const DNS_PORT = 53;
const SOURCE_ADDRESS_AT = 12;
const DESTINATION_ADDRESS_AT = 16;
const SOURCE_PORT_AT = 0;
const DESTINATION_PORT_AT = 2;
const UDP = { protocol: 17, checksumAt: 6 } as const;
const TCP = { protocol: 6, checksumAt: 16 } as const;

const FIRST_SEQUENCE = 0x1000;

const portBytes = (port: number): Uint8Array => Uint8Array.of(port >> 8, port & 0xff);

/** `ip <address field> 127.0.0.11 <transport> <port field> <from> <port field> set <to>` */
function rewrite(addressAt: number, portAt: number, from: number, to: number): NftExpression[][] {
  return [UDP, TCP].map(({ protocol, checksumAt }) => [
    payloadIs(PAYLOAD_BASE.NETWORK, addressAt, SERVER_ADDRESS),
    transportIs(protocol),
    payloadIs(PAYLOAD_BASE.TRANSPORT, portAt, portBytes(from)),
    payloadSet(PAYLOAD_BASE.TRANSPORT, portAt, portBytes(to), checksumAt),
  ]);
}

/** What makes 127.0.0.11:53 of a namespace lead to a port, worked out once for all sandboxes. */
export interface Redirect {
  readonly port: number;
  readonly chains: readonly NftBaseChain[];
  readonly batch: NftBatch;
}

/**
 * Makes 127.0.0.11:53 lead to `port`, so that port 53 stays free for the container. Ports are rewritten packet by packet, without connection
 * tracking: a question last of all at `output`, an answer first of all. So whatever else filters or tracks in the container knows port 53
 * only. The chains' names hold the port, so that a look at them tells what they do.
 */
export function redirectTo(port: number): Redirect {
  const chains = [
    {
      name: `question-${port}`,
      hook: NF_INET.OUTPUT,
      priority: NF_PRIORITY.CONNTRACK_HELPER,
      rules: rewrite(DESTINATION_ADDRESS_AT, DESTINATION_PORT_AT, DNS_PORT, port),
    },
    {
      name: `answer-${port}`,
      hook: NF_INET.OUTPUT,
      priority: NF_PRIORITY.RAW,
      rules: rewrite(SOURCE_ADDRESS_AT, SOURCE_PORT_AT, port, DNS_PORT),
    },
  ];
  // numbers of its own, apart from those of a new socket's requests
  let sequence = FIRST_SEQUENCE;
  return { port, chains, batch: encodeTable(TABLE, chains, () => sequence++) };
}

/**
 * Redirects port 53 in the socket's namespace, instead of where an earlier server had it led.
 * What is there already is asked for first: a transaction that fails, or that replaces a table, takes the kernel some 10 ms.
 * @throws {NetlinkError}
 */
export function redirect(socket: NetlinkSocket, { chains, batch }: Redirect): void {
  if (chains.every((chain) => hasChain(socket, TABLE, chain.name))) return;
  try {
    commit(socket, TABLE, batch);
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
    replaceTable(socket, TABLE, chains);
  }
}
