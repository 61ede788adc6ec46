import type { Address } from '../../mesh/address.ts';
import { formatAddress } from '../../mesh/address.ts';
import { includesPort } from '../../mesh/opaque-ports.ts';
import type { Protocol } from '../../mesh/protocol.ts';
import type { Engine } from '../../native/engine.d.ts';
import type { ConnectionMetrics, Protection, Refusal } from './connection-metrics.ts';
import type { ConnectionRecord, Deadlines } from './connection-record.ts';
import { actions, origins } from './connection-record.ts';
import { directionOf, guard } from './decide.ts';
import type { Destination, Endpoint, Key } from './destinations.ts';
import { FusedConnections } from './fused-connections.ts';
import type { FusedPath } from './fused-paths.ts';
import type { Carriage } from './http/carriage.ts';
import { carriageOf, carriageOfClaim } from './http/carriage.ts';
import type { HttpPolicy } from './http/http-policy.ts';
import type { InboundConnection } from './inbound.ts';
import { decideInbound, detections, refuseClaim } from './inbound.ts';
import type { Direction, WorkerOptions } from './messages.ts';
import { decideOutbound } from './outbound.ts';
import type { WorkerPod } from './pods.ts';
import type { ProofReports } from './proof-reports.ts';
import type { WaitingConnection } from './shown-connection.ts';
import { ShownConnection, snapshot } from './shown-connection.ts';
import { Waiting } from './waiting.ts';
import type { Missing, Ways } from './ways.ts';
import { missingDescription, resolveTimeoutMs } from './ways.ts';

/** Plaintext of strangers is allowed, so a directory that does not answer must not keep them out for long. */
const sourceTimeoutMs = 1000;
/** As Linkerd's: whoever says nothing for so long waits for the server to speak. */
const detectTimeoutMs = 10_000;
/** Longer than it takes to send a ClientHello that was lost once more (RFC 6298 as Linux does it: from 200 ms on). */
const briefDetectTimeoutMs = 500;

/** RFC 8446, 6.2 */
const unrecognizedName = 112;

export interface PolicyDependencies {
  readonly options: WorkerOptions;
  readonly engine: Engine;
  readonly record: ConnectionRecord;
  readonly proofs: ProofReports;
  readonly metrics: ConnectionMetrics;
  readonly ways: Ways;
  readonly http: Pick<HttpPolicy, 'connectionOpened' | 'connectionEnded'>;
}

/** Decides on every connection: reads it from the record, writes the decision there. What main has not told yet is waited for. */
export class Policy {
  readonly #with: PolicyDependencies;
  readonly #waiting = new Waiting<WaitingConnection>();
  /** Of sources that main has been asked about. */
  readonly #deadlines = new Map<Key, NodeJS.Timeout>();
  readonly #fused: FusedConnections;
  readonly #inbound: Deadlines;
  readonly #outbound: Deadlines;
  readonly #toPeers: Deadlines;
  readonly #shown: InboundConnection;

  constructor(dependencies: PolicyDependencies) {
    this.#with = dependencies;
    const { engine, options, record } = dependencies;
    this.#shown = new ShownConnection(record, engine);
    this.#fused = new FusedConnections(engine);
    this.#inbound = { connectTimeoutMs: options.inboundConnectTimeoutMs, idleTimeoutMs: options.idleTimeoutMs };
    this.#outbound = { connectTimeoutMs: options.outboundConnectTimeoutMs, idleTimeoutMs: options.idleTimeoutMs };
    this.#toPeers = { connectTimeoutMs: options.peerConnectTimeoutMs, idleTimeoutMs: options.idleTimeoutMs };
  }

  /** On the connection in the record. */
  decide(pod: WorkerPod): void {
    const { record, proofs } = this.#with;
    if (record.origin === origins.tunnel) {
      this.#decideStream(pod);
      return;
    }
    const direction = directionOf(record, pod);
    const guarded = guard(record, direction, pod);
    if (guarded !== undefined) {
      if (guarded === 'proof') {
        proofs.arrived(pod.id, direction, record.remotePort);
        record.refuse();
      } else {
        this.#refuse(direction, pod, 'guard');
      }
      return;
    }
    if (record.origin === origins.tls) {
      this.#carryToApp(this.#shown, pod, 'mutualTls', detectTimeoutMs);
      return;
    }
    const missing = this.#tryToDecide(this.#shown, direction, pod);
    if (missing !== undefined) this.#hold(missing, direction, pod);
  }

  /** Connections that wait for this can be decided on. */
  settled(key: Key): void {
    this.#endDeadline(key);
    this.#retry(key);
  }

  /** The network does not let connections pass there any more. */
  blocked(path: FusedPath): void {
    this.#fused.revoke(path);
  }

  /** The connection has ended; it may have been held. */
  ended(id: number): void {
    const held = this.#waiting.forget(id);
    if (held !== undefined) this.#with.metrics.refused(held.direction, held.pod, 'unresolved');
    this.#forget(id);
  }

  /** No more connections come. */
  close(): void {
    for (const key of [...this.#deadlines.keys()]) this.#endDeadline(key);
  }

  /** A stream of a peer's tunnel: the peer says where it comes from and goes to. */
  #decideStream(pod: WorkerPod): void {
    const { record } = this.#with;
    const fault = refuseClaim(record, pod) ?? (guard(record, 'inbound', pod) && 'guard');
    if (fault !== undefined) {
      this.#refuse('inbound', pod, fault);
      return;
    }
    // Where a peer does not say what it has seen, and saw something, that comes along.
    this.#carryToApp(this.#shown, pod, 'mutualTls', briefDetectTimeoutMs, record.claimed);
  }

  #hold(missing: Missing, direction: Direction, pod: WorkerPod): void {
    const { record } = this.#with;
    const place = this.#waiting.add(snapshot(this.#shown, direction, pod), missing.key);
    if (place === undefined) {
      this.#refuse(direction, pod, 'not-waited-for');
      return;
    }
    if (place === 'first') missing.ask?.();
    record.hold(resolveTimeoutMs);
  }

  #retry(key: Key): void {
    const { engine } = this.#with;
    for (const connection of this.#waiting.take(key)) {
      const missing = this.#tryToDecide(connection, connection.direction, connection.pod);
      if (missing !== undefined) {
        // The same answer would come again at once, and for ever; what changes comes unasked.
        if (this.#waiting.add(connection, missing.key) === 'first' && missing.key !== key) missing.ask?.();
      } else if (!engine.resume(connection.id)) {
        this.#forget(connection.id);
        this.#with.metrics.cameTooLate(connection.id);
      }
    }
  }

  /** Writes the decision into the record, or tells what is missing. */
  #tryToDecide(connection: InboundConnection, direction: Direction, pod: WorkerPod): Missing | undefined {
    return direction === 'outbound' ? this.#decideOutbound(connection, pod) : this.#decideInbound(connection, pod);
  }

  #decideOutbound(connection: InboundConnection, pod: WorkerPod): Missing | undefined {
    const { record, ways } = this.#with;
    const { id, localAddress, localPort, remoteAddress } = connection;
    const destination = ways.destinations.get(localAddress, localPort);
    const carriage = outboundCarriage(destination, connection.detected);
    switch (carriage) {
      case undefined:
        return ways.missing(localAddress, localPort);
      case 'detect':
        record.detect(detectTimeoutMs);
        return undefined;
      case 'http':
        this.#serveHttp(connection, 'outbound', pod, 'ownApp');
        return undefined;
    }
    const decision = decideOutbound(destination, remoteAddress);
    switch (decision) {
      case 'wait':
        return ways.missing(localAddress, localPort);
      case 'refuse':
        this.#refuse('outbound', pod, 'no-endpoint');
        return undefined;
      case 'direct':
        this.#relayOut(id, { address: localAddress, port: localPort }, pod);
        return undefined;
    }
    return this.#send(decision, id, pod);
  }

  #send(endpoint: Endpoint, id: number, pod: WorkerPod): Missing | undefined {
    const way = this.#with.ways.find(endpoint, pod);
    switch (way.kind) {
      case 'missing':
        return way.missing;
      case 'out':
        this.#relayOut(id, endpoint, pod);
        return undefined;
      case 'app':
        this.#relayToPod(id, endpoint, pod);
        return undefined;
      case 'tunnel':
        this.#tunnel(id, endpoint, pod);
        return undefined;
      case 'forbidden':
        this.#refuse('outbound', pod, 'network-policy');
        return undefined;
      case 'fused':
        this.#fused.opened(id, way.path);
        this.#relayToPod(id, endpoint, pod);
        return undefined;
    }
  }

  #relayOut(id: number, destination: Pick<Endpoint, 'address' | 'port'>, pod: WorkerPod): void {
    const { record, metrics } = this.#with;
    record.relay(actions.relayOut, destination.address, destination.port, this.#outbound);
    metrics.opened(id, 'outbound', pod, 'plaintextToOutside', 0, destination);
  }

  #relayToPod(id: number, endpoint: Endpoint, pod: WorkerPod): void {
    const { record, metrics } = this.#with;
    record.relayToPod(endpoint, this.#inbound);
    metrics.opened(id, 'outbound', pod, 'sameNode', endpoint.identity, endpoint);
  }

  #tunnel(id: number, endpoint: Endpoint, pod: WorkerPod): void {
    const { record, metrics } = this.#with;
    record.tunnel(endpoint, pod.identity, this.#toPeers);
    metrics.opened(id, 'outbound', pod, 'mutualTls', endpoint.identity, endpoint);
  }

  #decideInbound(connection: InboundConnection, pod: WorkerPod): Missing | undefined {
    const { record, options, ways } = this.#with;
    const { remoteAddress } = connection;
    const source = ways.destinations.get(remoteAddress, 0);
    switch (decideInbound(connection, pod, source, performance.now(), options.identitySuffix)) {
      case 'wait':
        return this.#missingSource(remoteAddress);
      case 'wait-identity':
        return missingDescription(pod.id);
      case 'detect':
        record.detect(detectTimeoutMs);
        break;
      case 'detect-briefly':
        record.detect(briefDetectTimeoutMs);
        break;
      case 'terminate': {
        const missing = ways.missingCredentials(pod);
        if (missing !== undefined) return missing;
        record.acceptTls(pod.identity);
        break;
      }
      case 'relay':
        if (connection.detected === detections.tls) this.#relayToApp(connection, pod, 'passthrough');
        else if (isHttp(connection, pod)) this.#serveHttp(connection, 'inbound', pod, 'plaintextFromOutside');
        else this.#relayToApp(connection, pod, 'plaintextFromOutside');
        break;
      case 'downgrade':
        this.#refuse('inbound', pod, 'downgrade');
        break;
      case 'wrong-name':
        this.#refuse('inbound', pod, 'wrong-name', unrecognizedName);
    }
    return undefined;
  }

  /** What came by mutual TLS: its first bytes have to be looked at inside of that. */
  #carryToApp(
    connection: InboundConnection,
    pod: WorkerPod,
    protection: Protection,
    timeoutMs: number,
    claimed: number = detections.nothing,
  ): void {
    const { detected, localPort } = connection;
    const declared = protocolAt(pod, localPort);
    const isNew = detected === detections.nothing || detected === detections.tls;
    switch (isNew ? carriageOfClaim(declared, claimed) : carriageOf(declared, detected)) {
      case 'detect':
        this.#with.record.detect(timeoutMs);
        break;
      case 'http':
        this.#serveHttp(connection, 'inbound', pod, protection);
        break;
      case 'bytes':
        this.#relayToApp(connection, pod, protection);
    }
  }

  #serveHttp(connection: InboundConnection, direction: Direction, pod: WorkerPod, protection: Protection): void {
    const { record, http, metrics, options } = this.#with;
    record.http(http.connectionOpened(connection, direction, pod), options.idleTimeoutMs);
    const { id, localAddress: address, localPort: port } = connection;
    const peer = direction === 'inbound' ? connection.peerName : 0;
    metrics.served(id, direction, pod, protection, peer, { address, port });
  }

  #relayToApp(
    { id, peerName, localAddress, localPort }: InboundConnection,
    pod: WorkerPod,
    protection: Protection,
  ): void {
    const { record, metrics } = this.#with;
    record.relay(actions.relayToApp, localAddress, localPort, this.#inbound);
    metrics.opened(id, 'inbound', pod, protection, peerName, { address: localAddress, port: localPort });
  }

  #refuse(direction: Direction, pod: WorkerPod, reason: Refusal, alert = 0): void {
    this.#with.record.refuse(alert);
    this.#with.metrics.refused(direction, pod, reason);
  }

  #missingSource(address: Address): Missing {
    const { ways } = this.#with;
    const { key, ask } = ways.missing(address, 0);
    const text = formatAddress(address);
    const giveUp = (): void => {
      this.#endDeadline(key);
      if (this.#waiting.has(key))
        ways.learn({ type: 'destination', address: text, port: 0, destination: { kind: 'unknown' } });
    };
    return {
      key,
      ask: () => {
        this.#endDeadline(key);
        this.#deadlines.set(key, setTimeout(giveUp, sourceTimeoutMs));
        ask?.();
      },
    };
  }

  #forget(connection: number): void {
    this.#fused.ended(connection);
    this.#with.http.connectionEnded(connection);
  }

  #endDeadline(key: Key): void {
    clearTimeout(this.#deadlines.get(key));
    this.#deadlines.delete(key);
  }
}

/** Undefined while it is not known where the connection goes. */
function outboundCarriage(destination: Destination | undefined, detected: number): Carriage | undefined {
  if (destination === undefined || destination.kind === 'unknown') return undefined;
  return carriageOf(destination.protocol, detected);
}

function isHttp({ localPort, detected }: InboundConnection, pod: WorkerPod): boolean {
  return carriageOf(protocolAt(pod, localPort), detected) === 'http';
}

function protocolAt(pod: WorkerPod, port: number): Protocol {
  return includesPort(pod.opaquePorts, port) ? 'opaque' : 'detect';
}
