import type { Address } from '../../mesh/address.ts';
import { formatAddress, parseAddress } from '../../mesh/address.ts';
import type { Engine } from '../../native/engine.d.ts';
import type { ConnectionRecord, Deadlines } from './connection-record.ts';
import { actions } from './connection-record.ts';
import type { Connection } from './decide.ts';
import { directionOf, guard } from './decide.ts';
import type { Endpoint, Key } from './destinations.ts';
import { Destinations, keyOf } from './destinations.ts';
import type { InboundConnection } from './inbound.ts';
import { decideInbound, detections, refuseClaim } from './inbound.ts';
import type { CredentialsMessage, DestinationMessage, Direction, WorkerOptions } from './messages.ts';
import { decideOutbound } from './outbound.ts';
import type { WorkerPod } from './pods.ts';
import type { ProofReports } from './proof-reports.ts';
import type { WaitingConnection } from './waiting-connections.ts';
import { WaitingConnections } from './waiting-connections.ts';

/** How long a connection waits for what only main can tell; then it is refused. */
const resolveTimeoutMs = 3000;
const sourceTimeoutMs = 1000;
/** As Linkerd's: whoever says nothing for so long waits for the server to speak. */
const detectTimeoutMs = 10_000;

const origins = { captured: 0, tunnel: 1, tls: 2 } as const;

export interface PolicyDependencies {
  readonly options: WorkerOptions;
  readonly engine: Engine;
  readonly record: ConnectionRecord;
  readonly proofs: ProofReports;
  readonly resolve: (address: string, port: number) => void;
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
  readonly #credentials = new Set<number>();
  readonly #inbound: Deadlines;
  readonly #outbound: Deadlines;
  readonly #shown: InboundConnection;

  constructor(dependencies: PolicyDependencies) {
    this.#with = dependencies;
    this.#shown = new ShownConnection(dependencies.record, dependencies.engine);
    const { engine, options } = dependencies;
    this.#destinations = new Destinations((name) => engine.intern(name));
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
      if (guarded === 'proof') proofs.arrived(pod.id, direction, record.remotePort);
      record.refuse();
      return;
    }
    if (record.origin === origins.tls) {
      this.#relayToApp(record, 0);
      return;
    }
    const missing = this.#tryToDecide(this.#shown, direction, pod);
    if (missing !== undefined) this.#hold(missing, direction, pod);
  }

  learn(message: DestinationMessage): void {
    this.#destinations.set(message);
    this.#retry(keyOf(parseAddress(message.address), message.port));
  }

  forget(address: string, port: number): void {
    this.#destinations.forget(address, port);
  }

  setCredentials(message: CredentialsMessage): void {
    const { engine } = this.#with;
    const number = engine.intern(message.identity);
    engine.setCredentials(number, message);
    this.#credentials.add(number);
    this.#retry(credentialsKey(number));
  }

  /** Main has told who the pod is. */
  podDescribed(pod: number): void {
    this.#retry(podKey(pod));
  }

  /** The connection has ended; it may have been held. */
  ended(id: number): void {
    this.#waiting.forget(id);
  }

  /** A stream of a peer's tunnel: the peer says where it comes from and goes to. */
  #decideStream(pod: WorkerPod): void {
    const { record } = this.#with;
    if (refuseClaim(record, pod) !== undefined || guard(record, 'inbound', pod) !== undefined) record.refuse();
    else this.#relayToApp(record, 0);
  }

  #hold(missing: Missing, direction: Direction, pod: WorkerPod): void {
    const { record } = this.#with;
    const place = this.#waiting.add(snapshot(this.#shown, record.id, direction, pod), missing.key);
    if (place === undefined) {
      record.refuse();
      return;
    }
    if (place === 'first') missing.ask?.();
    record.hold(resolveTimeoutMs);
  }

  #retry(key: Key): void {
    const { engine } = this.#with;
    for (const connection of this.#waiting.take(key)) {
      const missing = this.#tryToDecide(connection, connection.direction, connection.pod);
      if (missing === undefined) engine.resume(connection.id);
      // The same answer would come again at once, and for ever; what changes comes unasked.
      else if (this.#waiting.add(connection, missing.key) === 'first' && missing.key !== key) missing.ask?.();
    }
  }

  /** Writes the decision into the record, or tells what is missing. */
  #tryToDecide(connection: InboundConnection, direction: Direction, pod: WorkerPod): Missing | undefined {
    return direction === 'outbound' ? this.#decideOutbound(connection, pod) : this.#decideInbound(connection, pod);
  }

  #decideOutbound(connection: Connection, pod: WorkerPod): Missing | undefined {
    const { record } = this.#with;
    const { localAddress, localPort } = connection;
    const decision = decideOutbound(this.#destinations.get(localAddress, localPort));
    switch (decision) {
      case 'wait':
        return this.#missing(localAddress, localPort);
      case 'refuse':
        record.refuse();
        return undefined;
      case 'direct':
        record.relay(actions.relayOut, localAddress, localPort, this.#outbound);
        return undefined;
    }
    return this.#send(decision, pod);
  }

  #send(endpoint: Endpoint, pod: WorkerPod): Missing | undefined {
    const { record, options } = this.#with;
    if (endpoint.meshed !== true) {
      record.relay(actions.relayOut, endpoint.address, endpoint.port, this.#outbound);
    } else if (endpoint.localPod !== 0 && !options.sameNodeMtls) {
      record.relay(actions.relayToApp, endpoint.address, endpoint.port, this.#inbound, endpoint.localPod);
    } else if (!this.#credentials.has(pod.identity)) {
      return { key: credentialsKey(pod.identity) };
    } else {
      record.tunnel(endpoint, pod.identity, this.#outbound);
    }
    return undefined;
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
      case 'terminate':
        if (!this.#credentials.has(pod.identity)) return { key: credentialsKey(pod.identity) };
        record.acceptTls(pod.identity);
        break;
      case 'relay':
        this.#relayToApp(connection, 0);
        break;
      case 'downgrade':
      case 'wrong-name':
        record.refuse();
    }
    return undefined;
  }

  #relayToApp({ localAddress, localPort }: Connection, appPod: number): void {
    this.#with.record.relay(actions.relayToApp, localAddress, localPort, this.#inbound, appPod);
  }

  /** Plaintext of strangers is allowed, so a directory that does not answer must not keep them out. */
  #missingSource(address: Address): Missing {
    const key = keyOf(address, 0);
    const text = formatAddress(address);
    const giveUp = (): void => {
      if (this.#waiting.has(key))
        this.learn({ type: 'destination', address: text, port: 0, destination: { kind: 'unknown' } });
    };
    return {
      key,
      ask: () => {
        this.#with.resolve(text, 0);
        setTimeout(giveUp, sourceTimeoutMs);
      },
    };
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

/** The record shows the next connection when this one's turn comes. */
function snapshot(shown: InboundConnection, id: number, direction: Direction, pod: WorkerPod): WaitingConnection {
  const { detected, askedFor, localAddress, localPort, remoteAddress, remotePort } = shown;
  return {
    id,
    pod,
    direction,
    detected,
    askedFor,
    localAddress: localAddress.slice(),
    localPort,
    remoteAddress: remoteAddress.slice(),
    remotePort,
  };
}

/** The connection in the record, with what only the engine tells of it. */
class ShownConnection implements InboundConnection {
  readonly #record: ConnectionRecord;
  readonly #engine: Engine;

  constructor(record: ConnectionRecord, engine: Engine) {
    this.#record = record;
    this.#engine = engine;
  }

  get localAddress(): Address {
    return this.#record.localAddress;
  }
  get localPort(): number {
    return this.#record.localPort;
  }
  get remoteAddress(): Address {
    return this.#record.remoteAddress;
  }
  get remotePort(): number {
    return this.#record.remotePort;
  }
  get detected(): number {
    return this.#record.detected;
  }
  get askedFor(): string {
    return this.#record.detected === detections.tls ? this.#engine.serverName() : '';
  }
}
