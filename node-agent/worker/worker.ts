import type { Engine, EngineOptions } from '../../native/engine.d.ts';
import { ConnectionLog } from './connection-log.ts';
import { ConnectionRecord, connectionRecordBytes } from './connection-record.ts';
import { Drain } from './drain.ts';
import { HttpPolicy } from './http/http-policy.ts';
import { RequestRecord, requestRecordBytes } from './http/request-record.ts';
import type { MessageToWorker, SendToMain, WorkerOptions } from './messages.ts';
import { Policy } from './policy.ts';
import { directionOf } from './decide.ts';
import { WorkerPods } from './pods.ts';
import { WorkerMetrics } from './worker-metrics.ts';
import { ProofReports } from './proof-reports.ts';
import { Records } from './records.ts';
import { Ways } from './ways.ts';

export interface WorkerDependencies {
  readonly options: WorkerOptions;
  readonly createEngine: (options: EngineOptions) => Engine;
  /** Of seriesMemoryBytes, which main reads. */
  readonly metricsMemory: ArrayBuffer;
  readonly send: SendToMain;
  readonly exit: () => void;
}

/** What was on its way to a pod when it left the mesh still arrives: in the listener's queue, or as a stream of a peer's tunnel. */
const releaseGraceMs = 1000;

/** One worker: the engine shows it connections, its policy decides. Main may vanish at any time; that changes nothing here. */
export class Worker {
  readonly #with: WorkerDependencies;
  readonly #record = new ConnectionRecord();
  readonly #requestRecord = new RequestRecord();
  readonly #requests = new Records(RequestRecord, requestRecordBytes);
  readonly #closes = new Records(ConnectionRecord, connectionRecordBytes);
  readonly #responses = new Records(RequestRecord, requestRecordBytes);
  readonly #pods = new WorkerPods(() => performance.now());
  readonly #engine: Engine;
  readonly #ways: Ways;
  readonly #policy: Policy;
  readonly #http: HttpPolicy;
  readonly #metrics: WorkerMetrics;
  readonly #log: ConnectionLog | undefined;
  readonly #proofs: ProofReports;
  readonly #drain: Drain;
  /** Connections that are open, each counted by its pod. */
  readonly #counted = new Set<number>();
  #closed = false;

  constructor(dependencies: WorkerDependencies) {
    this.#with = dependencies;
    const { options, createEngine, send } = dependencies;
    this.#log = options.logConnections ? new ConnectionLog(send) : undefined;
    this.#proofs = new ProofReports((message) => void send(message));
    const engine = createEngine({
      brokerPath: options.brokerPath,
      slot: options.slot,
      clientsMap: options.clientsMap,
      pipes: options.pipes,
      pipeBytes: options.pipeBytes,
      record: this.#record.buffer,
      requestRecord: this.#requestRecord.buffer,
      requests: this.#requests.buffer,
      closes: this.#closes.buffer,
      responses: this.#responses.buffer,
      onListener: (pod, port, ipv4, ipv6) => {
        this.#pods.listen(pod, port, ipv4, ipv6);
      },
      onListenerGone: (pod) => {
        this.#release(pod);
      },
      onConnection: () => {
        this.#onConnection();
      },
      onCloses: (count) => {
        for (let i = 0; i < count; i++) this.#onClose(this.#closes.at(i));
      },
      onRequests: (count) => {
        for (let i = 0; i < count; i++) this.#http.decide(this.#requests.at(i), i);
      },
      onFailure: () => {
        this.#http.failed();
      },
      onResponses: (count) => {
        for (let i = 0; i < count; i++) this.#http.ended(this.#responses.at(i));
      },
      onProbe: (probe, result) => {
        this.#ways.probed(probe, result);
      },
      onDrain: (graceMs) => {
        this.drain(graceMs);
      },
      onBrokerLost: () => {
        // The engine reconnects by itself; until then it uses the sockets it holds.
      },
    });
    this.#engine = engine;
    this.#metrics = new WorkerMetrics(dependencies.metricsMemory, engine, this.#pods);
    this.#ways = new Ways({
      options,
      engine,
      pods: this.#pods,
      resolve: (address, port) => void send({ type: 'resolve', address, port }),
      onSettled: (key) => {
        this.#policy.settled(key);
        this.#http.settled(key);
      },
      onBlocked: (path) => {
        this.#policy.blocked(path);
        this.#http.blocked(path);
      },
      onFusedClosed: ({ id }) => {
        this.#tellIfDrained(id);
      },
      onRefusedCredentials: (identity, reason) => void send({ type: 'credentials-refused', identity, reason }),
    });
    const ways = this.#ways;
    this.#http = new HttpPolicy({
      options,
      engine,
      ways,
      record: this.#requestRecord,
      metrics: this.#metrics.requests(ways.destinations),
    });
    this.#policy = new Policy({
      options,
      engine,
      ways,
      http: this.#http,
      metrics: this.#metrics.connections,
      record: this.#record,
      proofs: this.#proofs,
    });
    this.#drain = new Drain(engine, options.drainTimeoutMs, () => {
      this.#closed = true;
      this.#ways.close();
      this.#metrics.close();
      this.#policy.close();
      engine.close();
      void this.#exit();
    });
  }

  receive(message: MessageToWorker): void {
    if (this.#closed) return; // what main had sent before it knew
    switch (message.type) {
      case 'pod': {
        const { pod, namespace, name, owner, identity, opaquePorts, skippedPorts, skippedClients } = message;
        const number = identity === '' ? 0 : this.#engine.intern(identity);
        const description = { namespace, name, owner, opaquePorts, skippedPorts, skippedClients };
        this.#pods.describe(pod, { ...description, identityName: identity, identity: number });
        if (number !== 0) this.#ways.podDescribed(pod);
        break;
      }
      case 'announced':
        this.#pods.announce(message.pod, message.announcedMs);
        break;
      case 'pod-released':
        this.#proofs.forget(message.pod);
        this.#pods.leave(message.pod);
        this.#ways.podReleased(message.pod);
        this.#engine.retireTunnels(message.pod);
        setTimeout(() => {
          if (this.#pods.get(message.pod) === undefined) this.#tellDrained(message.pod);
          else this.#release(message.pod);
        }, releaseGraceMs);
        break;
      case 'destination':
        this.#ways.learn(message);
        break;
      case 'forget-destination':
        this.#ways.forget(message.address, message.port);
        break;
      case 'credentials':
        this.#ways.setCredentials(message);
        break;
      case 'forget-credentials':
        this.#ways.forgetCredentials(message.identity);
        break;
      case 'ticket-keys':
        this.#engine.setTicketKeys(message.keys);
        break;
      case 'expect-proof':
        this.#proofs.expect(message.pod);
        break;
      case 'forget-proof':
        this.#proofs.forget(message.pod);
    }
  }

  /** Accepts for `graceMs` more, then finishes what is open and exits. */
  drain(graceMs: number): void {
    this.#drain.start(graceMs);
  }

  async #exit(): Promise<void> {
    await this.#log?.flush();
    this.#with.exit();
  }

  #onConnection(): void {
    const record = this.#record;
    const pod = this.#pods.get(record.pod);
    if (pod === undefined) {
      record.refuse();
      return;
    }
    // It is shown again with what was detected of it; what has come by then may be detected before it is shown at all.
    if (!this.#counted.has(record.id)) {
      this.#counted.add(record.id);
      pod.connections++;
    }
    this.#policy.decide(pod);
  }

  #onClose(record: ConnectionRecord): void {
    this.#policy.ended(record.id);
    const wasCounted = this.#counted.delete(record.id);
    const pod = this.#pods.get(record.pod);
    if (pod === undefined) return;
    if (wasCounted) pod.connections--;
    const direction = directionOf(record, pod);
    this.#metrics.connections.ended(record, direction, pod);
    this.#log?.add(record, direction, pod, record.peerName === 0 ? '' : this.#engine.nameOf(record.peerName));
    this.#tellIfDrained(pod.id);
  }

  #release(id: number): void {
    const pod = this.#pods.get(id);
    if (pod === undefined) return;
    pod.released = true;
    this.#ways.podReleased(id);
    this.#tellIfDrained(id);
  }

  #tellIfDrained(id: number): void {
    const pod = this.#pods.get(id);
    if (pod !== undefined && this.#pods.forgetIfDrained(pod)) this.#tellDrained(id);
  }

  #tellDrained(pod: number): void {
    void this.#with.send({ type: 'pod-drained', pod });
  }
}
