import type { CloseReason, Engine } from '../../native/engine.d.ts';
import type { Labels, SetName } from '../metrics/series-sets.ts';
import { partOf } from '../metrics/series-sets.ts';
import type { Series, SeriesWriter } from '../metrics/series-writer.ts';
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

/** Beyond it those without an open connection are forgotten: their series are found again. */
const maximumTransports = 4096;

const cells = {
  opened: partOf('tcp_open_total').firstCell,
  open: partOf('tcp_open_connections').firstCell,
  read: partOf('tcp_read_bytes_total').firstCell,
  written: partOf('tcp_write_bytes_total').firstCell,
};

/** Connections of one pod with one peer. */
interface Transport {
  readonly series: Series;
  readonly labels: Labels;
  readonly closed: Map<CloseReason, Series>;
  open: number;
}

/** What the connections of a worker come to, in memory that main reads. */
export class ConnectionMetrics {
  readonly #writer: SeriesWriter;
  readonly #engine: Pick<Engine, 'nameOf'>;
  readonly #transports = new Map<string, Transport>();
  readonly #open = new Map<number, Transport>();

  constructor(writer: SeriesWriter, engine: Pick<Engine, 'nameOf'>) {
    this.#writer = writer;
    this.#engine = engine;
  }

  /** @param peer number of the identity at the other end, 0 where it has none */
  opened(id: number, direction: Direction, pod: WorkerPod, protection: Protection, peer: number): void {
    const transport = this.#transportOf(direction, pod, protection, peer);
    this.#open.set(id, transport);
    this.#writer.add(transport.series, cells.opened, 1);
    this.#writer.setGauge(transport.series, cells.open, ++transport.open);
  }

  refused(direction: Direction, pod: WorkerPod, reason: Refusal): void {
    this.#count('refused', { ...labelsOf(direction, pod), reason });
  }

  ended(record: ConnectionRecord, direction: Direction, pod: WorkerPod): void {
    if (record.reason === 'tls-failed') {
      const reason = tlsFailures[record.errno] ?? 'protocol';
      this.#count('tls_failures', { ...labelsOf(direction, pod), reason });
    }
    const transport = this.#close(record.id, record.reason);
    if (transport === undefined) return;
    this.#writer.add(transport.series, cells.read, record.bytesToUpstream);
    this.#writer.add(transport.series, cells.written, record.bytesToClient);
  }

  /** It was opened, but had ended before the engine was told. */
  cameTooLate(id: number): void {
    this.#close(id, 'reset-by-client');
  }

  /** Before each sweep of the writer: what has open connections is not idle, however silent. */
  keepOpen(): void {
    for (const { open, series } of this.#transports.values()) if (open > 0) this.#writer.touch(series);
  }

  #close(id: number, reason: CloseReason): Transport | undefined {
    const transport = this.#open.get(id);
    if (transport === undefined) return undefined;
    this.#open.delete(id);
    this.#writer.setGauge(transport.series, cells.open, --transport.open);
    this.#writer.add(this.#closed(transport, reason), 0, 1);
    return transport;
  }

  #closed(transport: Transport, reason: CloseReason): Series {
    const known = transport.closed.get(reason);
    if (known !== undefined) return known;
    const errno = reason === 'finished' ? {} : { errno: reason };
    const series = this.#writer.series('transport_close', { ...transport.labels, ...errno });
    transport.closed.set(reason, series);
    return series;
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
    if (this.#transports.size >= maximumTransports) this.#forgetUnused();
    const transport = { series: this.#writer.series('transport', labels), labels, closed: new Map(), open: 0 };
    this.#transports.set(key, transport);
    return transport;
  }

  #forgetUnused(): void {
    for (const [key, { open }] of this.#transports) if (open === 0) this.#transports.delete(key);
  }

  #count(set: SetName, labels: Labels): void {
    this.#writer.add(this.#writer.series(set, labels), 0, 1);
  }
}

function labelsOf(direction: Direction, pod: WorkerPod): Labels {
  return { direction, namespace: pod.namespace, pod: pod.name };
}
