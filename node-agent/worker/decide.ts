import { addressesEqual, isIPv4, isLoopback } from '../../mesh/address.ts';
import type { Address } from '../../mesh/address.ts';
import type { Direction } from './messages.ts';
import type { WorkerPod } from './pods.ts';

/** One accepted connection. The addresses may be views that change after the call: nothing here keeps them. */
export interface Connection {
  readonly localAddress: Address;
  readonly localPort: number;
  readonly remoteAddress: Address;
  readonly remotePort: number;
}

export type Decision = 'relay' | 'refuse' | 'proof';

/** A rule answers or leaves the connection to the next. It allocates nothing: every connection of the node comes by. */
export type Rule = (connection: Connection, direction: Direction, pod: WorkerPod) => Decision | undefined;

export function directionOf(connection: Connection, pod: WorkerPod): Direction {
  const own = isIPv4(connection.localAddress) ? pod.ipv4 : pod.ipv6;
  return addressesEqual(connection.localAddress, own) ? 'inbound' : 'outbound';
}

/** A dial at the listener itself, from outside or from the pod's loopback. Only a proof of the enrolment does that. */
const refuseDialsAtListener: Rule = (connection, direction, pod) => {
  if (isLoopback(connection.localAddress)) return 'refuse';
  return direction === 'inbound' && connection.localPort === pod.listenerPort ? 'proof' : undefined;
};

/** WEFT_PROOF_PREFIX_* and WEFT_SOURCE_PREFIX_* of bpf/weft.h: nothing outside a pod may be called there, and no client comes from there. */
const refuseReservedAddresses: Rule = (connection) => {
  if (isInReservedBlock(connection.localAddress, proofBlock)) return 'proof';
  if (isInReservedBlock(connection.localAddress, sourceBlock)) return 'refuse';
  return isInReservedBlock(connection.remoteAddress, sourceBlock) ? 'refuse' : undefined;
};

const rules: readonly Rule[] = [refuseDialsAtListener, refuseReservedAddresses];

/** The first rule that answers decides; what no rule minds is relayed. */
export function decide(connection: Connection, direction: Direction, pod: WorkerPod): Decision {
  for (const rule of rules) {
    const decision = rule(connection, direction, pod);
    if (decision !== undefined) return decision;
  }
  return 'relay';
}

interface ReservedBlock {
  readonly thirdByteV4: number;
  readonly lastPrefixByteV6: number;
}

const sourceBlock: ReservedBlock = { thirdByteV4: 116, lastPrefixByteV6: 0 };
const proofBlock: ReservedBlock = { thirdByteV4: 117, lastPrefixByteV6: 1 };

function isInReservedBlock(address: Address, block: ReservedBlock): boolean {
  if (isIPv4(address)) return address[12] === 169 && address[13] === 254 && address[14] === block.thirdByteV4;
  return (
    address[0] === 0xfd &&
    address[1] === 0x77 &&
    address[2] === 0x65 &&
    address[3] === 0x66 &&
    address[4] === 0x74 &&
    address[5] === 0 &&
    address[6] === 0 &&
    address[7] === block.lastPrefixByteV6
  );
}
