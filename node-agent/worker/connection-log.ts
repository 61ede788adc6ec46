import type { Address } from '../../mesh/address.ts';
import { formatAddress, isIPv4 } from '../../mesh/address.ts';
import type { ConnectionRecord } from './connection-record.ts';
import type { ConnectionReport, Direction, SendToMain } from './messages.ts';
import { maximumReports } from './messages.ts';
import type { WorkerPod } from './pods.ts';

const flushMs = 50;

/** Finished connections on their way to main, in batches. A main that is slow or away costs reports, never traffic or memory. */
export class ConnectionLog {
  readonly #send: SendToMain;
  #reports: ConnectionReport[] = [];
  #dropped = 0;
  #timer: NodeJS.Timeout | undefined;
  #underWay = false;

  constructor(send: SendToMain) {
    this.#send = send;
  }

  add(record: ConnectionRecord, direction: Direction, pod: WorkerPod, peer: string): void {
    this.#flushSoon();
    if (this.#reports.length >= maximumReports) {
      this.#dropped++;
      return;
    }
    this.#reports.push({
      pod: `${pod.namespace}/${pod.name}`,
      direction,
      client: endpoint(record.remoteAddress, record.remotePort),
      destination: endpoint(record.localAddress, record.localPort),
      peer,
      decision: record.reason === 'refused' ? 'refused' : 'relayed',
      reason: record.reason,
      errno: record.errno,
      bytesToUpstream: record.bytesToUpstream,
      bytesToClient: record.bytesToClient,
      durationMs: record.durationMs,
    });
  }

  /** Sends what is there; resolves when the channel has taken it, or never will. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const connections = this.#reports;
    const dropped = this.#dropped;
    this.#reports = [];
    this.#dropped = 0;
    if (connections.length === 0 && dropped === 0) return;
    this.#underWay = true;
    const taken = await this.#send({ type: 'connections', connections, dropped });
    this.#underWay = false;
    if (!taken) this.#dropped += connections.length + dropped;
    if (this.#reports.length > 0) this.#flushSoon();
  }

  /** One batch at a time: what main does not read must not pile up in the channel. */
  #flushSoon(): void {
    if (this.#underWay) return;
    this.#timer ??= setTimeout(() => {
      void this.flush();
    }, flushMs);
  }
}

function endpoint(address: Address, port: number): string {
  const text = formatAddress(address);
  return isIPv4(address) ? `${text}:${port}` : `[${text}]:${port}`;
}
