import type { CloseReason, Engine } from '../../native/engine.d.ts';
import type { FamilyName, Labels } from '../metrics/families.ts';
import { isGauge, seriesKey } from '../metrics/families.ts';
import { SeriesWriter } from '../metrics/series-memory.ts';
import type { ConnectionRecord } from './connection-record.ts';
import type { Direction } from './messages.ts';
import type { WorkerPod } from './pods.ts';

/** How a connection is protected, with Linkerd's words for the labels. */
export const protections = {
  mutualTls: { tls: 'true' },
  /** Not encrypted, as it does not leave the node; the kernel attests both ends. */
  sameNode: { tls: 'true', no_tls_reason: 'same_node' },
  plaintextFromOutside: { tls: 'no_identity', no_tls_reason: 'no_tls_from_remote' },
  plaintextToOutside: { tls: 'no_identity', no_tls_reason: 'not_provided_by_service_discovery' },
  /** The client is the app of the pod whose traffic it is. */
  ownApp: { tls: 'no_identity', no_tls_reason: 'loopback' },
  /** The app's own TLS. */
  passthrough: { tls: 'opaque' },
} as const;
export type Protection = keyof typeof protections;

/** In the order of Reason in native/core/tls/failure.h. */
export const tlsFailures = [
  'none',
  'no-certificate',
  'unknown-authority',
  'expired',
  'not-yet-valid',
  'bad-certificate',
  'wrong-name',
  'no-protocol',
  'protocol',
  'alert',
  'truncated',
  'system',
] as const;

export type Refusal =
  | 'downgrade'
  | 'wrong-name'
  | 'unresolved'
  | 'no-endpoint'
  | 'not-waited-for'
  | 'guard'
  | 'client-address'
  | 'loopback'
  | 'own-address'
  | 'destination'
  | 'network-policy';

const maximumTransports = 4096;

interface Transport {
  readonly opened: number;
  readonly open: number;
  readonly read: number;
  readonly written: number;
  readonly labels: Labels;
  readonly closed: Map<CloseReason, number>;
}

/** What the connections of a worker come to, in memory that main reads. */
export class ConnectionMetrics {
  readonly #series: SeriesWriter;
  readonly #engine: Pick<Engine, 'nameOf'>;
  readonly #transports = new Map<string, Transport>();
  readonly #open = new Map<number, Transport>();

  constructor(memory: ArrayBuffer, engine: Pick<Engine, 'nameOf'>) {
    this.#series = new SeriesWriter(memory);
    this.#series.clear(isGauge);
    this.#engine = engine;
  }

  /** @param peer number of the identity at the other end, 0 where it has none */
  opened(id: number, direction: Direction, pod: WorkerPod, protection: Protection, peer: number): void {
    const transport = this.#transportOf(direction, pod, protection, peer);
    this.#open.set(id, transport);
    this.#series.add(transport.opened, 1);
    this.#series.add(transport.open, 1);
  }

  refused(direction: Direction, pod: WorkerPod, reason: Refusal): void {
    this.#count('weft_connections_refused_total', { ...labelsOf(direction, pod), reason });
  }

  ended(record: ConnectionRecord, direction: Direction, pod: WorkerPod): void {
    if (record.reason === 'tls-failed') {
      const reason = tlsFailures[record.errno] ?? 'protocol';
      this.#count('weft_tls_failures_total', { ...labelsOf(direction, pod), reason });
    }
    const transport = this.#close(record.id, record.reason);
    if (transport === undefined) return;
    this.#series.add(transport.read, record.bytesToUpstream);
    this.#series.add(transport.written, record.bytesToClient);
  }

  /** It was opened, but had ended before the engine was told. */
  cameTooLate(id: number): void {
    this.#close(id, 'reset-by-client');
  }

  #close(id: number, reason: CloseReason): Transport | undefined {
    const transport = this.#open.get(id);
    if (transport === undefined) return undefined;
    this.#open.delete(id);
    this.#series.add(transport.open, -1);
    this.#series.add(this.#closedCell(transport, reason), 1);
    return transport;
  }

  #closedCell(transport: Transport, reason: CloseReason): number {
    const known = transport.closed.get(reason);
    if (known !== undefined) return known;
    const errno = reason === 'finished' ? {} : { errno: reason };
    const cell = this.#series.cell(seriesKey('tcp_close_total', { ...transport.labels, ...errno }));
    transport.closed.set(reason, cell);
    return cell;
  }

  #transportOf(direction: Direction, pod: WorkerPod, protection: Protection, peer: number): Transport {
    const key = `${direction} ${pod.namespace}/${pod.name} ${protection} ${peer}`;
    const known = this.#transports.get(key);
    if (known !== undefined) return known;
    const peerId = direction === 'inbound' ? 'client_id' : 'server_id';
    const labels = {
      ...labelsOf(direction, pod),
      peer: direction === 'inbound' || protection === 'ownApp' ? 'src' : 'dst',
      ...protections[protection],
      ...(peer !== 0 && { [peerId]: this.#engine.nameOf(peer) }),
    };
    if (this.#transports.size >= maximumTransports) this.#transports.clear(); // they are found again in the series
    const transport: Transport = {
      opened: this.#series.cell(seriesKey('tcp_open_total', labels)),
      open: this.#series.cell(seriesKey('tcp_open_connections', labels)),
      read: this.#series.cell(seriesKey('tcp_read_bytes_total', labels)),
      written: this.#series.cell(seriesKey('tcp_write_bytes_total', labels)),
      labels,
      closed: new Map(),
    };
    this.#transports.set(key, transport);
    return transport;
  }

  #count(family: FamilyName, labels: Labels): void {
    this.#series.add(this.#series.cell(seriesKey(family, labels)), 1);
  }
}

function labelsOf(direction: Direction, pod: WorkerPod): Labels {
  return { direction, namespace: pod.namespace, pod: pod.name };
}
