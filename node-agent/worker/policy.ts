import type { Address } from '../../mesh/address.ts';
import { formatAddress, parseAddress } from '../../mesh/address.ts';
import type { Engine, ProbeResult } from '../../native/engine.d.ts';
import type { ConnectionMetrics, Protection, Refusal } from './connection-metrics.ts';
import type { ConnectionRecord, Deadlines } from './connection-record.ts';
import { actions, origins } from './connection-record.ts';
import { directionOf, guard } from './decide.ts';
import type { Endpoint, Key } from './destinations.ts';
import { Destinations, keyOf } from './destinations.ts';
import { FusedPaths } from './fused-paths.ts';
import type { InboundConnection } from './inbound.ts';
import { decideInbound, detections, refuseClaim } from './inbound.ts';
import type { CredentialsMessage, DestinationMessage, Direction, WorkerOptions } from './messages.ts';
import { decideOutbound } from './outbound.ts';
import type { WorkerPod, WorkerPods } from './pods.ts';
import { isCaptured } from './pods.ts';
import type { ProofReports } from './proof-reports.ts';
import { ShownConnection, snapshot } from './shown-connection.ts';
import { WaitingConnections } from './waiting-connections.ts';

/** How long a connection waits for what only main can tell; then it is refused. */
const resolveTimeoutMs = 3000;
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
  readonly pods: Pick<WorkerPods, 'get'>;
  readonly resolve: (address: string, port: number) => void;
  readonly onRefusedCredentials: (identity: string, reason: string) => void;
}

/** What has to be known before a connection can be decided on. */
interface Missing {
  readonly key: Key;
  /** Asks for it; absent where it comes unasked. */
  readonly ask?: () => void;
}

/** Decides on every connection: reads it from the record, writes the decision there. What main has not told yet is waited for. */
export class Policy {
  readonly #with: PolicyDependencies;
  readonly #destinations: Destinations;
  readonly #waiting = new WaitingConnections();
  /** Of sources that main has been asked about. */
  readonly #deadlines = new Map<Key, NodeJS.Timeout>();
  readonly #credentials = new Set<number>();
  readonly #fused: FusedPaths;
  readonly #inbound: Deadlines;
  readonly #outbound: Deadlines;
  readonly #shown: InboundConnection;

  constructor(dependencies: PolicyDependencies) {
    this.#with = dependencies;
    this.#shown = new ShownConnection(dependencies.record, dependencies.engine);
    const { engine, options } = dependencies;
    this.#destinations = new Destinations((name) => engine.intern(name));
    this.#fused = new FusedPaths({
      engine,
      onSettled: (key) => {
        this.#retry(key);
      },
      now: () => performance.now(),
    });
    this.#inbound = { connectTimeoutMs: options.inboundConnectTimeoutMs, idleTimeoutMs: options.idleTimeoutMs };
    this.#outbound = { connectTimeoutMs: options.outboundConnectTimeoutMs, idleTimeoutMs: options.idleTimeoutMs };
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
      this.#relayToApp(this.#shown, pod, 'mutualTls');
      return;
    }
    const missing = this.#tryToDecide(this.#shown, direction, pod);
    if (missing !== undefined) this.#hold(missing, direction, pod);
  }

  learn(message: DestinationMessage): void {
    const key = keyOf(parseAddress(message.address), message.port);
    this.#endDeadline(key);
    this.#destinations.set(message);
    this.#retry(key);
  }

  forget(address: string, port: number): void {
    this.#destinations.forget(address, port);
  }

  /** What the engine cannot use changes nothing: the credentials before it stay in force. */
  setCredentials(message: CredentialsMessage): void {
    const { engine, onRefusedCredentials } = this.#with;
    const number = engine.intern(message.identity);
    try {
      engine.setCredentials(number, message);
    } catch (error) {
      onRefusedCredentials(message.identity, error instanceof Error ? error.message : String(error));
      return;
    }
    this.#credentials.add(number);
    this.#retry(credentialsKey(number));
  }

  forgetCredentials(identity: string): void {
    const { engine } = this.#with;
    const number = engine.intern(identity);
    if (this.#credentials.delete(number)) engine.forgetCredentials(number);
  }

  /** Main has told who the pod is. */
  podDescribed(pod: number): void {
    this.#retry(podKey(pod));
  }

  podReleased(pod: number): void {
    this.#fused.forgetPod(pod);
  }

  probed(probe: number, result: ProbeResult): void {
    this.#fused.probed(probe, result);
  }

  /** The connection has ended; it may have been held. */
  ended(id: number): void {
    const held = this.#waiting.forget(id);
    if (held !== undefined) this.#with.metrics.refused(held.direction, held.pod, 'unresolved');
    this.#fused.ended(id);
  }

  /** No more connections come. */
  close(): void {
    for (const key of [...this.#deadlines.keys()]) this.#endDeadline(key);
    this.#fused.close();
  }

  /** A stream of a peer's tunnel: the peer says where it comes from and goes to. */
  #decideStream(pod: WorkerPod): void {
    const { record } = this.#with;
    const fault = refuseClaim(record, pod) ?? (guard(record, 'inbound', pod) && 'guard');
    if (fault === undefined) this.#relayToApp(this.#shown, pod, 'mutualTls');
    else this.#refuse('inbound', pod, fault);
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
        this.#fused.ended(connection.id);
        this.#with.metrics.cameTooLate(connection.id);
      }
    }
  }

  /** Writes the decision into the record, or tells what is missing. */
  #tryToDecide(connection: InboundConnection, direction: Direction, pod: WorkerPod): Missing | undefined {
    return direction === 'outbound' ? this.#decideOutbound(connection, pod) : this.#decideInbound(connection, pod);
  }

  #decideOutbound(connection: InboundConnection, pod: WorkerPod): Missing | undefined {
    const { id, localAddress, localPort } = connection;
    const decision = decideOutbound(this.#destinations.get(localAddress, localPort));
    switch (decision) {
      case 'wait':
        return this.#missing(localAddress, localPort);
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
    if (endpoint.meshed !== true) {
      this.#relayOut(id, endpoint, pod);
      return undefined;
    }
    if (endpoint.localPod !== 0) return this.#sendOnNode(endpoint, id, pod);
    const missing = this.#missingCredentials(pod);
    if (missing === undefined) this.#tunnel(id, endpoint, pod);
    return missing;
  }

  /** To a pod of this node: straight to its app where the network lets it be reached, which a probe tells. */
  #sendOnNode(endpoint: Endpoint, id: number, pod: WorkerPod): Missing | undefined {
    const { options, pods } = this.#with;
    const { localPod } = endpoint;
    if (localPod === pod.id) {
      this.#relayToPod(id, endpoint, pod); // no network lies between
      return undefined;
    }
    const server = pods.get(localPod);
    if (server === undefined || server.identity === 0) return { key: podKey(localPod) };
    if (!isCaptured(endpoint, pod, server)) {
      this.#relayOut(id, endpoint, pod);
      return undefined;
    }
    const missing = this.#missingCredentials(pod);
    if (missing !== undefined) return missing;
    const path = options.sameNodeMtls ? undefined : this.#fused.find(pod, server, endpoint);
    switch (path?.state) {
      case undefined:
        this.#tunnel(id, endpoint, pod);
        return undefined;
      case 'unverified':
        return {
          key: path.key,
          ask: () => {
            this.#fused.verify(path);
          },
        };
      case 'blocked':
        this.#refuse('outbound', pod, 'network-policy');
        return undefined;
      case 'verified':
        this.#fused.opened(id, path);
        this.#relayToPod(id, endpoint, pod);
        return undefined;
    }
  }

  #relayOut(id: number, destination: Pick<Endpoint, 'address' | 'port'>, pod: WorkerPod): void {
    const { record, metrics } = this.#with;
    record.relay(actions.relayOut, destination.address, destination.port, this.#outbound);
    metrics.opened(id, 'outbound', pod, 'plaintextToOutside', 0);
  }

  #relayToPod(id: number, endpoint: Endpoint, pod: WorkerPod): void {
    const { record, metrics } = this.#with;
    record.relayToPod(endpoint, this.#inbound);
    metrics.opened(id, 'outbound', pod, 'sameNode', endpoint.identity);
  }

  #tunnel(id: number, endpoint: Endpoint, pod: WorkerPod): void {
    const { record, metrics } = this.#with;
    record.tunnel(endpoint, pod.identity, this.#outbound);
    metrics.opened(id, 'outbound', pod, 'mutualTls', endpoint.identity);
  }

  #missingCredentials(pod: WorkerPod): Missing | undefined {
    if (pod.identity === 0) return { key: podKey(pod.id) };
    return this.#credentials.has(pod.identity) ? undefined : { key: credentialsKey(pod.identity) };
  }

  #decideInbound(connection: InboundConnection, pod: WorkerPod): Missing | undefined {
    const { record, options } = this.#with;
    const { remoteAddress } = connection;
    const source = this.#destinations.get(remoteAddress, 0);
    switch (decideInbound(connection, pod, source, performance.now(), options.identitySuffix)) {
      case 'wait':
        return this.#missingSource(remoteAddress);
      case 'wait-identity':
        return { key: podKey(pod.id) };
      case 'detect':
        record.detect(detectTimeoutMs);
        break;
      case 'detect-briefly':
        record.detect(briefDetectTimeoutMs);
        break;
      case 'terminate':
        if (!this.#credentials.has(pod.identity)) return { key: credentialsKey(pod.identity) };
        record.acceptTls(pod.identity);
        break;
      case 'relay':
        this.#relayToApp(
          connection,
          pod,
          connection.detected === detections.tls ? 'passthrough' : 'plaintextFromOutside',
        );
        break;
      case 'downgrade':
        this.#refuse('inbound', pod, 'downgrade');
        break;
      case 'wrong-name':
        this.#refuse('inbound', pod, 'wrong-name', unrecognizedName);
    }
    return undefined;
  }

  #relayToApp(
    { id, peerName, localAddress, localPort }: InboundConnection,
    pod: WorkerPod,
    protection: Protection,
  ): void {
    const { record, metrics } = this.#with;
    record.relay(actions.relayToApp, localAddress, localPort, this.#inbound);
    metrics.opened(id, 'inbound', pod, protection, peerName);
  }

  #refuse(direction: Direction, pod: WorkerPod, reason: Refusal, alert = 0): void {
    this.#with.record.refuse(alert);
    this.#with.metrics.refused(direction, pod, reason);
  }

  /** Plaintext of strangers is allowed, so a directory that does not answer must not keep them out. */
  #missingSource(address: Address): Missing {
    const key = keyOf(address, 0);
    const text = formatAddress(address);
    const giveUp = (): void => {
      this.#endDeadline(key);
      if (this.#waiting.has(key))
        this.learn({ type: 'destination', address: text, port: 0, destination: { kind: 'unknown' } });
    };
    return {
      key,
      ask: () => {
        this.#endDeadline(key);
        this.#deadlines.set(key, setTimeout(giveUp, sourceTimeoutMs));
        this.#with.resolve(text, 0);
      },
    };
  }

  #endDeadline(key: Key): void {
    clearTimeout(this.#deadlines.get(key));
    this.#deadlines.delete(key);
  }

  #missing(address: Address, port: number): Missing {
    return {
      key: keyOf(address, port),
      ask: () => {
        this.#with.resolve(formatAddress(address), port);
      },
    };
  }
}

function podKey(pod: number): Key {
  return `pod ${pod}`;
}

function credentialsKey(identity: number): Key {
  return `credentials ${identity}`;
}
