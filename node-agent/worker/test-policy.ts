import type { TestContext } from 'node:test';

import { formatAddress } from '../../mesh/address.ts';
import type { Protocol } from '../../mesh/protocol.ts';
import type { ProbeResult } from '../../native/engine.d.ts';
import type { FamilyName } from '../metrics/families.ts';
import { seriesMemoryBytes } from '../metrics/series-memory.ts';
import { SeriesWriter } from '../metrics/series-writer.ts';
import { countsIn, sumIn } from '../metrics/test-series.ts';
import { ConnectionMetrics } from './connection-metrics.ts';
import { ConnectionRecord, actions } from './connection-record.ts';
import { directionOf } from './decide.ts';
import { detections } from './inbound.ts';
import type { EndpointMessage, WorkerOptions } from './messages.ts';
import type { WorkerPod } from './pods.ts';
import type { HttpMetrics } from './http/metrics-sink.ts';
import { HttpPolicy } from './http/http-policy.ts';
import type { RequestPolicy } from './http/request-policies.ts';
import { RequestRecord } from './http/request-record.ts';
import { Policy } from './policy.ts';
import { ProofReports } from './proof-reports.ts';
import type { TestConnection, TestOutcome } from './test-connection.ts';
import { testPod } from './test-connection.ts';
import { FakeEngine } from './test-engine.ts';
import { Ways } from './ways.ts';

export const uncounted: HttpMetrics = {
  requested: () => undefined,
  forwarded: () => undefined,
  responded: () => undefined,
};

export const testOptions: WorkerOptions = {
  slot: 0,
  brokerPath: '/nowhere',
  uid: 2102,
  clientsMap: -1,
  metricsMemory: -1,
  pipes: 8,
  pipeBytes: 65536,
  outboundConnectTimeoutMs: 1000,
  peerConnectTimeoutMs: 10_000,
  inboundConnectTimeoutMs: 300,
  idleTimeoutMs: 5000,
  drainTimeoutMs: 0,
  logConnections: false,
  identitySuffix: '.shop.mesh',
  sameNodeMtls: false,
};

/** A decision as the engine reads it: what its action does not use is left out. */
export type TestDecision =
  | { action: 'refuse'; alert: number }
  | { action: 'detect' | 'hold' }
  | { action: 'acceptTls'; credentials: string }
  | { action: 'relayOut'; to: string }
  | { action: 'http' }
  | { action: 'relayToApp'; to: string; appPod: number }
  | { action: 'tunnel'; to: string; credentials: string; expectedName: string; workload: number };

/** A policy with all that it needs but a real engine; shop/web is its only pod. */
export class TestPolicy {
  readonly record = new ConnectionRecord();
  readonly requestRecord = new RequestRecord();
  readonly memory = new ArrayBuffer(seriesMemoryBytes);
  readonly asked: string[] = [];
  readonly proofs: unknown[] = [];
  readonly engine: FakeEngine;
  readonly ways: Ways;
  readonly http: HttpPolicy;
  readonly policy: Policy;
  readonly pod: WorkerPod;
  /** Other pods of the node, by id. */
  readonly neighbours = new Map<number, WorkerPod>();
  readonly #metrics: ConnectionMetrics;

  /** @param t closes it; undefined: the caller does */
  constructor(
    t: Pick<TestContext, 'after'> | undefined,
    options: Partial<WorkerOptions> = {},
    http: { readonly policies?: readonly RequestPolicy[]; readonly metrics?: HttpMetrics } = {},
  ) {
    const nothing = (): void => undefined;
    this.engine = new FakeEngine({
      brokerPath: '',
      slot: 0,
      clientsMap: -1,
      pipes: 0,
      pipeBytes: 0,
      record: this.record.buffer,
      requestRecord: this.requestRecord.buffer,
      requests: this.requestRecord.buffer,
      closes: this.record.buffer,
      responses: this.requestRecord.buffer,
      onListener: nothing,
      onListenerGone: nothing,
      onConnection: () => {
        this.policy.decide(this.pod);
      },
      onCloses: () => {
        this.policy.ended(this.record.id);
        this.#metrics.ended(this.record, directionOf(this.record, this.pod), this.pod);
      },
      onRequests: () => {
        this.http.decide(this.requestRecord, 0);
      },
      onFailure: () => {
        this.http.failed();
      },
      onResponses: () => {
        this.http.ended(this.requestRecord);
      },
      onDrain: nothing,
      onBrokerLost: nothing,
      onProbe: (probe, result) => {
        this.ways.probed(probe, result);
      },
    });
    this.pod = testPod({ identity: this.engine.intern('web.shop.mesh'), announcedAt: -Infinity });
    this.neighbours.set(4, testPod({ id: 4, name: 'db', identity: this.engine.intern('db.shop.mesh') }));
    this.#metrics = new ConnectionMetrics(new SeriesWriter(this.memory), this.engine, {
      get: (id) => this.neighbours.get(id),
    });
    const { engine } = this;
    const everything = { ...testOptions, ...options };
    this.ways = new Ways({
      options: everything,
      engine,
      pods: { get: (id) => (id === this.pod.id ? this.pod : this.neighbours.get(id)) },
      resolve: (address, port) => this.asked.push(`${address} ${port}`),
      onSettled: (key) => {
        this.policy.settled(key);
        this.http.settled(key);
      },
      onBlocked: (path) => {
        this.policy.blocked(path);
        this.http.blocked(path);
      },
      onFusedClosed: () => undefined,
      onRefusedCredentials: () => undefined,
    });
    const { ways, requestRecord: record } = this;
    this.http = new HttpPolicy({ options: everything, engine, ways, record, metrics: uncounted, ...http });
    this.policy = new Policy({
      options: everything,
      engine,
      ways,
      http: this.http,
      record: this.record,
      proofs: new ProofReports((message) => this.proofs.push(message)),
      metrics: this.#metrics,
    });
    t?.after(() => this.close());
  }

  close(): void {
    this.ways.close();
    this.policy.close();
  }

  connect(connection: TestConnection, askedFor = ''): TestDecision {
    this.engine.askedFor = askedFor;
    this.engine.connect(connection);
    return this.#read([...new Uint32Array(this.record.buffer, 96, 16)]);
  }

  /** As connect(), of a client that speaks no protocol that anybody knows. */
  connectBytes(connection: TestConnection, askedFor = ''): TestDecision {
    const decision = this.connect(connection, askedFor);
    return decision.action === 'detect'
      ? this.connect({ ...connection, detected: detections.plaintext }, askedFor)
      : decision;
  }

  /** As connect(), where the network lets pods of this node reach each other: a connection that waits for that goes on. */
  connectOnNode(connection: TestConnection): TestDecision {
    const decision = this.connect(connection);
    return decision.action === 'hold' ? this.passProbes() : decision;
  }

  /** Of all probes that are under way, and of those to which that leads. */
  answerProbes(result: ProbeResult): void {
    for (const probe of this.engine.probes.keys()) {
      this.engine.probes.delete(probe);
      this.ways.probed(probe, result);
    }
  }

  /** What becomes of the connection that waits. */
  passProbes(): TestDecision {
    this.answerProbes('passed');
    return this.resumed()[0]?.[1] ?? { action: 'hold' };
  }

  end(connection: TestConnection, outcome: TestOutcome): void {
    this.engine.end(connection, outcome);
  }

  /** Those that were resumed since the last call, by id. */
  resumed(): [id: number, decision: TestDecision][] {
    return this.engine.resumed.splice(0).map(([id = 0, ...words]) => [id, this.#read(words)]);
  }

  learn(address: string, port: number, ...endpoints: EndpointMessage[]): void {
    this.learnProtocol('opaque', address, port, ...endpoints);
  }

  learnProtocol(protocol: Protocol, address: string, port: number, ...endpoints: EndpointMessage[]): void {
    const destination = { kind: 'endpoints', protocol, endpoints } as const;
    this.ways.learn({ type: 'destination', address, port, destination });
  }

  /** A service whose clients stay with their endpoint. */
  learnSticky(protocol: Protocol, address: string, port: number, ...endpoints: EndpointMessage[]): void {
    const destination = { kind: 'endpoints', protocol, endpoints, sessionAffinity: true } as const;
    this.ways.learn({ type: 'destination', address, port, destination });
  }

  learnKind(address: string, port: number, kind: 'unknown' | 'external'): void {
    const destination = kind === 'unknown' ? { kind } : { kind, protocol: 'opaque' as const };
    this.ways.learn({ type: 'destination', address, port, destination });
  }

  setCredentials(identity = 'web.shop.mesh'): void {
    const none = new Uint8Array();
    this.ways.setCredentials({ type: 'credentials', identity, certificates: [], privateKey: none, trustAnchors: [] });
  }

  /** Sum over the series that have these labels. */
  count(family: FamilyName, labels: Readonly<Record<string, string>> = {}): number {
    return sumIn(this.memory, family, labels);
  }

  /** How often a connection was refused, by reason. */
  refused(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const { family, labels, value } of countsIn(this.memory)) {
      const { reason } = labels;
      if (family === 'weft_connections_refused_total' && reason !== undefined)
        counts[reason] = (counts[reason] ?? 0) + value;
    }
    return counts;
  }

  #read(words: readonly number[]): TestDecision {
    const [action = 0] = words;
    const number = (offset: number): number => words[(offset - 96) / 4] ?? 0;
    const name = (offset: number): string => this.engine.nameOf(number(offset));
    const address = new Uint8Array(Uint32Array.from(words.slice(4, 8)).buffer);
    const to = `${formatAddress(address)} ${number(108)}`;
    switch (action) {
      case actions.refuse:
        return { action: 'refuse', alert: number(148) };
      case actions.relayToApp:
        return { action: 'relayToApp', to, appPod: number(128) };
      case actions.relayOut:
        return { action: 'relayOut', to };
      case actions.detect:
        return { action: 'detect' };
      case actions.hold:
        return { action: 'hold' };
      case actions.http:
        return { action: 'http' };
      case actions.acceptTls:
        return { action: 'acceptTls', credentials: name(132) };
      case actions.tunnel:
        return { action: 'tunnel', to, credentials: name(132), expectedName: name(136), workload: number(140) };
      default:
        throw new Error(`action ${action}`);
    }
  }
}

export function endpoint(changed: Partial<EndpointMessage> = {}): EndpointMessage {
  return {
    address: '10.1.0.5',
    port: 8080,
    meshed: true,
    identity: 'db.shop.mesh',
    uid: 'db',
    localPod: 0,
    ...changed,
  };
}
