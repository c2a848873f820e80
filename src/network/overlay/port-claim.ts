import { DhowError } from "../../lib/mod.ts";
import { addEspPolicy, type EspPolicy, isErrno, type ListedPolicy, listEspPolicies, type NetlinkSocket } from "../../linux/mod.ts";
import { blockPolicy, type EspMarks, espReqid, isBlockOf, PORTS_PER_DAEMON, portBlocks, VXLAN_PORT } from "./esp.ts";

/** Whether a policy is for VXLAN packets that one of our daemons sends. */
const isOfPorts = ({ flow }: EspPolicy, firstPort: number): boolean => flow.sourcePort === firstPort && flow.destinationPort === VXLAN_PORT;

/** The policies of the daemon with this reqid. */
export function policiesOf(xfrm: NetlinkSocket, reqid: number): ListedPolicy[] {
  return listEspPolicies(xfrm).filter(
    (policy) => policy.flow.destinationPort === VXLAN_PORT && (policy.transform?.reqid === reqid || isBlockOf(policy, reqid)),
  );
}

/**
 * Takes a block of source ports that no other daemon of this network namespace has, the one that it had if it has one. The policy that drops
 * what leaves by them is the claim: the kernel takes it once, and it stays while the daemon is away. The blocks are tried from one on that the
 * host's id leads to.
 * @throws unavailable when every block is taken; {NetlinkError}
 */
export function claimPorts(xfrm: NetlinkSocket, hostId: string, vtep: string): EspMarks {
  const reqid = espReqid(hostId);
  const marksOf = (firstPort: number): EspMarks => ({ reqid, firstPort, count: PORTS_PER_DAEMON });
  const claim = (marks: EspMarks): Error | undefined => xfrm.requestAll([addEspPolicy(blockPolicy(vtep, marks))])[0];
  const present = listEspPolicies(xfrm);
  const own = present.find((policy) => isBlockOf(policy, reqid));
  if (own !== undefined) {
    const marks = marksOf(own.flow.sourcePort);
    // again, as it may have been one of the other family
    const failed = claim(marks);
    if (failed !== undefined && !isErrno(failed, "EEXIST")) throw failed;
    return marks;
  }
  for (const firstPort of portBlocks(hostId)) {
    if (present.some((policy) => isOfPorts(policy, firstPort))) continue;
    const failed = claim(marksOf(firstPort));
    if (failed === undefined) return marksOf(firstPort);
    // another daemon was quicker
    if (!isErrno(failed, "EEXIST")) throw failed;
  }
  throw new DhowError("unavailable", "take UDP ports for encrypted overlay networks: other daemons of this host have all of them");
}
