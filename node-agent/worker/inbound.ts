import { includesPort } from '../../mesh/opaque-ports.ts';
import { addressesEqual, isIPv4, isLoopback, isUnspecified } from '../../mesh/address.ts';
import type { Connection } from './decide.ts';
import type { Destination } from './destinations.ts';
import type { WorkerPod } from './pods.ts';

/** What the first bytes of a connection are (ConnectionRecordLayout.detected). */
export const detections = {
  nothing: 0,
  plaintext: 1,
  timeout: 2,
  tls: 3,
  invalidTls: 4,
  http1: 5,
  http2: 6,
} as const;

/**
 * 'wait' until main has said who the source is, 'wait-identity' until it has said who the pod is; 'detect': look at the first bytes;
 * 'terminate' the mesh's TLS; 'relay' as it is; 'downgrade': refused, as a meshed source must not come in plaintext; 'wrong-name': TLS
 * for somebody of the mesh who is not here.
 */
export type InboundDecision =
  'wait' | 'wait-identity' | 'detect' | 'detect-briefly' | 'terminate' | 'relay' | 'downgrade' | 'wrong-name';

export interface InboundConnection extends Connection {
  readonly id: number;
  /** Number of the identity that the peer has proven. */
  readonly peerName: number;
  readonly detected: number;
  /** The name that a ClientHello asks for; empty without one. */
  readonly askedFor: string;
}

/** So long after it was announced a pod takes plaintext from meshed sources: their agents may not have heard of it yet. */
const joinGraceMs = 10_000;

export function decideInbound(
  connection: InboundConnection,
  pod: WorkerPod,
  source: Destination | undefined,
  now: number,
  meshSuffix: string,
): InboundDecision {
  const { detected, askedFor } = connection;
  if (detected === detections.tls) {
    if (!askedFor.endsWith(meshSuffix)) return 'relay';
    if (pod.identityName === '') return 'wait-identity';
    return askedFor === pod.identityName ? 'terminate' : 'wrong-name';
  }
  if (detected === detections.nothing && !includesPort(pod.opaquePorts, connection.localPort)) return 'detect';
  const meshed = isMeshed(source);
  if (meshed === undefined) return 'wait';
  // So it is while a source joins or leaves: its agent may speak TLS already, or still.
  if (!meshed) return detected === detections.nothing && hasChanged(source, now) ? 'detect-briefly' : 'relay';
  const isKnown = pod.announcedAt !== undefined && now - pod.announcedAt >= joinGraceMs;
  // An opaque port: a meshed source opens with a ClientHello, and one that has not heard of us may wait for the app to speak.
  if (detected === detections.nothing) return isKnown ? 'detect' : 'detect-briefly';
  return isKnown ? 'downgrade' : 'relay';
}

/** As long as its agent and ours may not agree on whether it is meshed. */
function hasChanged(source: Destination | undefined, now: number): boolean {
  return source?.kind === 'endpoints' && source.changedAt !== undefined && now - source.changedAt < joinGraceMs;
}

function isMeshed(source: Destination | undefined): boolean | undefined {
  if (source === undefined) return undefined;
  // An address that no object has (yet) is nobody's who could speak the mesh's TLS.
  if (source.kind !== 'endpoints') return false;
  const [owner] = source.endpoints;
  return owner === undefined ? false : (owner.meshed ?? false);
}

/** What a peer claims of its client in OPEN: the address must be the one that its TCP connection comes from. */
export interface ClaimedClient extends Connection {
  readonly peerAddress: Uint8Array;
}

/** Undefined: believed. Else why not. */
export function refuseClaim(
  claim: ClaimedClient,
  pod: WorkerPod,
): 'destination' | 'client-address' | 'loopback' | 'own-address' | undefined {
  const own = isIPv4(claim.localAddress) ? pod.ipv4 : pod.ipv6;
  if (!addressesEqual(claim.localAddress, own) || isUnspecified(own)) return 'destination';
  if (!addressesEqual(claim.remoteAddress, claim.peerAddress)) return 'client-address';
  if (isLoopback(claim.remoteAddress)) return 'loopback';
  if (addressesEqual(claim.remoteAddress, pod.ipv4) || addressesEqual(claim.remoteAddress, pod.ipv6))
    return 'own-address';
  return undefined;
}
