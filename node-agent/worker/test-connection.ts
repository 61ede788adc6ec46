import { parseAddress } from '../../mesh/address.ts';
import type { CloseReason } from '../../native/engine.d.ts';
import { closeReasons } from './connection-record.ts';
import type { WorkerPod } from './pods.ts';

/** shop/web, 10.0.0.7 and fd00::7. */
export function testPod(changed: Partial<WorkerPod> = {}): WorkerPod {
  return {
    id: 1,
    ipv4: parseAddress('10.0.0.7'),
    ipv6: parseAddress('fd00::7'),
    listenerPort: 61000,
    namespace: 'shop',
    name: 'web',
    owner: undefined,
    identityName: 'web.shop.mesh',
    identity: 1,
    opaquePorts: [[3306, 3306]],
    skippedPorts: [],
    skippedClients: [],
    announcedAt: 0,
    connections: 0,
    hasLeft: false,
    released: false,
    ...changed,
  };
}

export interface TestConnection {
  readonly id?: number;
  readonly pod: number;
  readonly local: readonly [address: string, port: number];
  readonly remote: readonly [address: string, port: number];
  /** 0 captured, 1 a stream of a tunnel, 2 mutual TLS */
  readonly origin?: number;
  readonly detected?: number;
  readonly serverName?: number;
  /** Whom the peer has proven to be. */
  readonly peerName?: number;
  /** What a stream's peer says that it carries. */
  readonly claimed?: number;
  /** Of the TCP connection that a stream came by. */
  readonly peer?: string;
}

/** Writes what the engine writes when it has accepted a connection: all but the identity is cleared (native/core/engine.cc). */
export function writeConnection(buffer: ArrayBuffer, connection: TestConnection): void {
  const { id = 1, pod, local, remote, origin = 0, detected = 0, serverName = 0, peer = remote[0] } = connection;
  const view = new DataView(buffer);
  const bytes = new Uint8Array(buffer);
  bytes.fill(0);
  const words = [id, pod, local[0].includes(':') ? 6 : 4, local[1], remote[1], origin, detected, serverName];
  for (const [index, word] of words.entries()) view.setUint32(4 * index, word, true);
  bytes.set(parseAddress(local[0]), 32);
  bytes.set(parseAddress(remote[0]), 48);
  bytes.set(parseAddress(peer), 64);
  view.setUint32(80, connection.peerName ?? 0, true);
  view.setUint32(92, connection.claimed ?? 0, true);
}

export interface TestOutcome {
  readonly reason: CloseReason;
  readonly errno?: number;
  readonly bytesToUpstream?: number;
  readonly bytesToClient?: number;
  readonly durationMs?: number;
}

/** Writes what the engine adds at the end. */
export function writeOutcome(buffer: ArrayBuffer, outcome: TestOutcome): void {
  const view = new DataView(buffer);
  view.setUint32(160, closeReasons.indexOf(outcome.reason), true);
  view.setUint32(164, outcome.errno ?? 0, true);
  view.setFloat64(168, outcome.bytesToUpstream ?? 0, true);
  view.setFloat64(176, outcome.bytesToClient ?? 0, true);
  view.setFloat64(184, outcome.durationMs ?? 0, true);
}
