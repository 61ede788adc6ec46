import type { Address } from '../../mesh/address.ts';
import { addressesEqual, isIPv4, isLoopback, startsWith } from '../../mesh/address.ts';
import type { Direction } from './messages.ts';
import type { WorkerPod } from './pods.ts';

/** One accepted connection. The addresses may be views that change after the call: nothing here keeps them. */
export interface Connection {
  /** What the client dialled. */
  readonly localAddress: Address;
  readonly localPort: number;
  readonly remoteAddress: Address;
  readonly remotePort: number;
}

/** 'proof': refuse it, and tell main that it came (capture-proof.ts). */
export type GuardDecision = 'refuse' | 'proof';

/** A rule answers or leaves the connection to the next. It allocates nothing: every connection of the node comes by. */
export type Rule = (connection: Connection, direction: Direction, pod: WorkerPod) => GuardDecision | undefined;

/** What may not pass, whoever asks; the first rule that answers decides. */
export function guard(connection: Connection, direction: Direction, pod: WorkerPod): GuardDecision | undefined {
  for (const rule of rules) {
    const decision = rule(connection, direction, pod);
    if (decision !== undefined) return decision;
  }
  return undefined;
}

export function directionOf(connection: Connection, pod: WorkerPod): Direction {
  const own = isIPv4(connection.localAddress) ? pod.ipv4 : pod.ipv6;
  return addressesEqual(connection.localAddress, own) ? 'inbound' : 'outbound';
}

/** WEFT_SOURCE_PREFIX_*, WEFT_PROOF_PREFIX_* and WEFT_PROOF_PORT of bpf/weft.h. */
const sourceBlockV4 = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 169, 254, 116);
const sourceBlockV6 = Uint8Array.of(0xfd, 0x77, 0x65, 0x66, 0x74, 0, 0, 0);
const proofBlockV4 = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 169, 254, 117);
const proofBlockV6 = Uint8Array.of(0xfd, 0x77, 0x65, 0x66, 0x74, 0, 0, 1);
const proofPort = 9;

/** Relayed, it would come back to the listener for ever. Apart from the inbound proof nobody has a reason to dial there. */
const refuseDialsAtListener: Rule = (connection, direction, pod) =>
  direction === 'inbound' && connection.localPort === pod.listenerPort ? 'proof' : undefined;

const refuseProofBlock: Rule = ({ localAddress, localPort }) => {
  if (!startsWith(localAddress, proofBlockV4) && !startsWith(localAddress, proofBlockV6)) return undefined;
  return localPort === proofPort ? 'proof' : 'refuse';
};

/** Traffic inside a pod is never captured: who dials the listener over loopback wants to be relayed as somebody else. */
const refuseLoopback: Rule = ({ localAddress }) => (isLoopback(localAddress) ? 'refuse' : undefined);

/** The agent dials apps from there. Nobody else is a client, or can be called, at these addresses. */
const refuseSourceBlock: Rule = ({ localAddress, remoteAddress }) =>
  isInSourceBlock(localAddress) || isInSourceBlock(remoteAddress) ? 'refuse' : undefined;

function isInSourceBlock(address: Address): boolean {
  return startsWith(address, sourceBlockV4) || startsWith(address, sourceBlockV6);
}

const rules: readonly Rule[] = [refuseDialsAtListener, refuseProofBlock, refuseLoopback, refuseSourceBlock];
