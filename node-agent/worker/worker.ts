import type { Engine, EngineOptions } from '../../native/engine.d.ts';
import { ConnectionLog } from './connection-log.ts';
import { ConnectionRecord, actions } from './connection-record.ts';
import { decide, directionOf } from './decide.ts';
import type { MessageToMain, MessageToWorker, WorkerOptions } from './messages.ts';
import { WorkerPods } from './pods.ts';

const idleCheckMs = 100;

export interface WorkerDependencies {
  readonly options: WorkerOptions;
  readonly createEngine: (options: EngineOptions) => Engine;
  /** Returns false where main cannot take more at the moment, or is gone. */
  readonly send: (message: MessageToMain) => boolean;
  readonly exit: () => void;
}

/** One worker: the engine shows it connections, it decides. Main may vanish at any time; that changes nothing here. */
export class Worker {
  readonly #with: WorkerDependencies;
  readonly #record = new ConnectionRecord();
  readonly #pods = new WorkerPods();
  readonly #log: ConnectionLog | undefined;
  readonly #engine: Engine;
  #draining = false;

  constructor(dependencies: WorkerDependencies) {
    this.#with = dependencies;
    const { options, createEngine, send } = dependencies;
    this.#log = options.logConnections ? new ConnectionLog(send) : undefined;
    this.#engine = createEngine({
      brokerPath: options.brokerPath,
      slot: options.slot,
      clientsMap: options.clientsMap,
      pipes: options.pipes,
      pipeBytes: options.pipeBytes,
      record: this.#record.buffer,
      onListener: (pod, port, ipv4, ipv6) => {
        this.#pods.listen(pod, port, ipv4, ipv6);
      },
      onListenerGone: (pod) => {
        this.#release(pod);
      },
      onConnection: () => {
        this.#onConnection();
      },
      onClose: () => {
        this.#onClose();
      },
      onDrain: (graceMs) => {
        this.drain(graceMs);
      },
      onBrokerLost: () => {
        // The engine reconnects by itself; until then it uses the sockets it holds.
      },
    });
  }

  receive(message: MessageToWorker): void {
    switch (message.type) {
      case 'pod':
        this.#pods.describe(message.pod, message.namespace, message.name);
        break;
      case 'pod-released':
        this.#release(message.pod);
        break;
      case 'expect-proof':
      case 'forget-proof': {
        const pod = this.#pods.get(message.pod);
        if (pod !== undefined) pod.proofExpected = message.type === 'expect-proof';
      }
    }
  }

  /** Accepts what is queued for `graceMs` more, then finishes what is open and exits. */
  drain(graceMs: number): void {
    if (this.#draining) return;
    this.#draining = true;
    setTimeout(() => {
      this.#engine.stopAccepting();
      this.#exitWhenIdle();
    }, graceMs);
  }

  #exitWhenIdle(): void {
    const { drainTimeoutMs } = this.#with.options;
    const deadline = drainTimeoutMs === 0 ? Infinity : performance.now() + drainTimeoutMs;
    const check = setInterval(() => {
      if (this.#engine.statistics().connections > 0 && performance.now() < deadline) return;
      clearInterval(check);
      this.#engine.close();
      this.#with.exit();
    }, idleCheckMs);
  }

  #onConnection(): void {
    const record = this.#record;
    const pod = this.#pods.get(record.pod);
    if (pod === undefined) {
      record.refuse();
      return;
    }
    pod.connections++;
    const { options } = this.#with;
    const direction = directionOf(record, pod);
    switch (decide(record, direction, pod)) {
      case 'relay':
        if (direction === 'inbound') record.relay(actions.relayToApp, options.inboundConnectTimeoutMs, options.idleTimeoutMs);
        else record.relay(actions.relayOut, options.outboundConnectTimeoutMs, options.idleTimeoutMs);
        break;
      case 'proof':
        if (pod.proofExpected) this.#with.send({ type: 'proof', pod: pod.id, direction, remotePort: record.remotePort });
        record.refuse();
        break;
      case 'refuse':
        record.refuse();
    }
  }

  #onClose(): void {
    const record = this.#record;
    const pod = this.#pods.get(record.pod);
    if (pod === undefined) return;
    pod.connections--;
    this.#log?.add(record, directionOf(record, pod), pod);
    this.#tellIfDrained(pod.id);
  }

  #release(id: number): void {
    const pod = this.#pods.get(id);
    if (pod === undefined) return;
    pod.released = true;
    this.#tellIfDrained(id);
  }

  #tellIfDrained(id: number): void {
    const pod = this.#pods.get(id);
    if (pod !== undefined && this.#pods.forgetIfDrained(pod)) this.#with.send({ type: 'pod-drained', pod: id });
  }
}
