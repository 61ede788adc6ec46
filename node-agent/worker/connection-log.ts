import { formatAddress, isIPv4 } from '../../mesh/address.ts';
import type { ConnectionRecord } from './connection-record.ts';
import { actions } from './connection-record.ts';
import type { ConnectionReport, Direction, MessageToMain } from './messages.ts';
import type { WorkerPod } from './pods.ts';

const flushMs = 50;
const capacity = 4096;

/** Finished connections on their way to main, in batches. A main that is slow or away costs reports, never traffic. */
export class ConnectionLog {
  readonly #send: (message: MessageToMain) => boolean;
  #reports: ConnectionReport[] = [];
  #dropped = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(send: (message: MessageToMain) => boolean) {
    this.#send = send;
  }

  add(record: ConnectionRecord, direction: Direction, pod: WorkerPod): void {
    this.#timer ??= setTimeout(() => {
      this.#flush();
    }, flushMs);
    if (this.#reports.length >= capacity) {
      this.#dropped++;
      return;
    }
    this.#reports.push({
      pod: `${pod.namespace}/${pod.name}`,
      direction,
      client: endpoint(record.remoteAddress, record.remotePort),
      destination: endpoint(record.localAddress, record.localPort),
      decision: record.action === actions.refuse ? 'refused' : 'relayed',
      reason: record.reason,
      bytesToUpstream: record.bytesToUpstream,
      bytesToClient: record.bytesToClient,
      durationMs: record.durationMs,
    });
  }

  #flush(): void {
    this.#timer = undefined;
    if (this.#send({ type: 'connections', connections: this.#reports, dropped: this.#dropped })) {
      this.#reports = [];
      this.#dropped = 0;
    } else {
      this.#timer = setTimeout(() => {
        this.#flush();
      }, flushMs);
    }
  }
}

function endpoint(address: Uint8Array, port: number): string {
  const text = formatAddress(address);
  return isIPv4(address) ? `${text}:${port}` : `[${text}]:${port}`;
}
