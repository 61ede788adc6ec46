import { getSystemErrorMap } from 'node:util';

import type { Address } from '../../mesh/address.ts';
import { addressesEqual } from '../../mesh/address.ts';
import type { CloseReason, Engine } from '../../native/engine.d.ts';
import type { Labels, SetName } from '../metrics/series-sets.ts';
import { partOf } from '../metrics/series-sets.ts';
import type { Series, SeriesWriter } from '../metrics/series-writer.ts';
import type { ConnectionRecord } from './connection-record.ts';
import type { Endpoint } from './destinations.ts';
import { keyOf } from './destinations.ts';
import { namesOf, podLabels, targetOf } from './labels.ts';
import type { Direction } from './messages.ts';
import type { WorkerPod, WorkerPods } from './pods.ts';

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
const maximumLinks = 4096;

const cells = {
  opened: partOf('tcp_open_total').firstCell,
  open: partOf('tcp_open_connections').firstCell,
  read: partOf('tcp_read_bytes_total').firstCell,
  written: partOf('tcp_write_bytes_total').firstCell,
};

/** Places for links that were found lately; a power of 2. */
const recentPlaces = 256;

/** Where a connection goes. */
export type ConnectionTarget = Pick<Endpoint, 'address' | 'port'> &
  Partial<Pick<Endpoint, 'workload' | 'localPod' | 'names' | 'service'>>;

/** One side of connections, as the pod that they are counted for sees it. */
interface End {
  readonly series: Series;
  readonly labels: Labels;
  readonly closed: Map<string, Series>;
  open: number;
}

/** What the counts of a connection depend on. */
interface LinkKind {
  readonly direction: Direction;
  readonly pod: WorkerPod;
  /** As they were: main may tell them later. */
  readonly podName: string;
  readonly podNamespace: string;
  readonly protection: Protection;
  readonly peer: number;
  readonly isRelayed: boolean;
  readonly address: Address;
  readonly port: number;
  readonly workload: number;
  readonly serviceName: string | undefined;
}

/** Connections that differ in nothing but what became of them. */
interface Link {
  readonly kind: LinkKind;
  /** What is read there is written to the others. */
  readonly sources: readonly End[];
  readonly destinations: readonly End[];
  /** Both. */
  readonly ends: readonly End[];
  /** Without direction: of *_tcp_errors_total. */
  readonly labels: Labels;
  open: number;
}

/** What the connections of a worker come to, in memory that main reads. */
export class ConnectionMetrics {
  readonly #writer: SeriesWriter;
  readonly #engine: Pick<Engine, 'nameOf'>;
  readonly #pods: Pick<WorkerPods, 'get'>;
  readonly #links = new Map<string, Link>();
  /** Most connections are like one before: these are compared with it, which costs less than to put a key together. */
  readonly #recent: (Link | undefined)[] = Array.from({ length: recentPlaces }, () => undefined);
  /** By the key of their series: links may have one in common. */
  readonly #ends = new Map<string, End>();
  readonly #open = new Map<number, Link>();

  constructor(writer: SeriesWriter, engine: Pick<Engine, 'nameOf'>, pods: Pick<WorkerPods, 'get'>) {
    this.#writer = writer;
    this.#engine = engine;
    this.#pods = pods;
  }

  /** Its bytes are relayed. @param peer number of the identity at the other end, 0 where it has none */
  opened(
    id: number,
    direction: Direction,
    pod: WorkerPod,
    protection: Protection,
    peer: number,
    target: ConnectionTarget,
  ): void {
    this.#begin(id, direction, pod, protection, peer, target, true);
  }

  /** It ends here, and its requests go on over other connections. @param target what the client dialled */
  served(
    id: number,
    direction: Direction,
    pod: WorkerPod,
    protection: Protection,
    peer: number,
    target: ConnectionTarget,
  ): void {
    this.#begin(id, direction, pod, protection, peer, target, false);
  }

  refused(direction: Direction, pod: WorkerPod, reason: Refusal): void {
    this.#count('refused', { ...labelsOf(direction, pod), reason });
  }

  ended(record: ConnectionRecord, direction: Direction, pod: WorkerPod): void {
    const { id, reason, errno, bytesToUpstream, bytesToClient } = record;
    if (reason === 'tls-failed')
      this.#count('tls_failures', { ...labelsOf(direction, pod), reason: tlsFailures[errno] ?? 'protocol' });
    const link = this.#close(id, errnoOf(reason, errno));
    if (link === undefined) return;
    for (const { series } of link.sources) this.#moved(series, bytesToUpstream, bytesToClient);
    for (const { series } of link.destinations) this.#moved(series, bytesToClient, bytesToUpstream);
    const error = proxyErrors[reason];
    if (error !== undefined) this.#count(`${direction}_tcp_errors`, { ...link.labels, error });
  }

  /** It was opened, but had ended before the engine was told. */
  cameTooLate(id: number): void {
    this.#close(id, 'ECONNRESET');
  }

  /** Before each sweep of the writer: what has open connections is not idle, however silent. */
  keepOpen(): void {
    for (const { open, series } of this.#ends.values()) if (open > 0) this.#writer.touch(series);
  }

  #begin(
    id: number,
    direction: Direction,
    pod: WorkerPod,
    protection: Protection,
    peer: number,
    target: ConnectionTarget,
    isRelayed: boolean,
  ): void {
    const link = this.#link(direction, pod, protection, peer, target, isRelayed);
    this.#open.set(id, link);
    link.open++;
    for (const end of link.ends) {
      this.#writer.add(end.series, cells.opened, 1);
      this.#writer.setGauge(end.series, cells.open, ++end.open);
    }
  }

  #link(
    direction: Direction,
    pod: WorkerPod,
    protection: Protection,
    peer: number,
    target: ConnectionTarget,
    isRelayed: boolean,
  ): Link {
    const { address, port, workload = 0, service } = target;
    const place = ((address[14] ?? 0) * 31 + (address[15] ?? 0) * 7 + port + pod.id + peer * 5) & (recentPlaces - 1);
    const recent = this.#recent[place];
    if (recent !== undefined) {
      const { kind } = recent;
      const isSame =
        kind.pod === pod &&
        kind.port === port &&
        kind.peer === peer &&
        kind.direction === direction &&
        kind.protection === protection &&
        kind.isRelayed === isRelayed &&
        kind.workload === workload &&
        kind.serviceName === service?.name &&
        kind.podName === pod.name &&
        kind.podNamespace === pod.namespace &&
        addressesEqual(kind.address, address);
      if (isSame) return recent;
    }
    const ofPod = `${direction} ${pod.namespace}/${pod.name} ${protection} ${peer} ${isRelayed}`;
    const key = `${ofPod} ${keyOf(address, port)} ${workload} ${service?.name ?? ''}`;
    let link = this.#links.get(key);
    if (link === undefined) {
      if (this.#links.size >= maximumLinks) this.#forgetUnused();
      link = this.#newLink(direction, pod, protection, peer, target, isRelayed);
      this.#links.set(key, link);
    }
    this.#recent[place] = link;
    return link;
  }

  #close(id: number, errno: string): Link | undefined {
    const link = this.#open.get(id);
    if (link === undefined) return undefined;
    this.#open.delete(id);
    link.open--;
    for (const end of link.ends) {
      this.#writer.setGauge(end.series, cells.open, --end.open);
      this.#writer.add(this.#closed(end, errno), 0, 1);
    }
    return link;
  }

  #closed({ closed, labels }: End, errno: string): Series {
    const known = closed.get(errno);
    if (known !== undefined) return known;
    const series = this.#writer.series('transport_close', { ...labels, errno });
    closed.set(errno, series);
    return series;
  }

  #moved(series: Series, read: number, written: number): void {
    this.#writer.add(series, cells.read, read);
    this.#writer.add(series, cells.written, written);
  }

  #newLink(
    direction: Direction,
    pod: WorkerPod,
    protection: Protection,
    peer: number,
    target: ConnectionTarget,
    isRelayed: boolean,
  ): Link {
    const peerName = peer === 0 ? '' : this.#engine.nameOf(peer);
    const to = targetOf(target.address, target.port);
    const labels = { ...podLabels(pod), ...to };
    const server = protection === 'sameNode' ? this.#pods.get(target.localPod ?? 0) : undefined;
    const ends =
      direction === 'inbound'
        ? inboundEnds({ ...labelsOf(direction, pod), ...to }, protection, peerName)
        : outboundEnds({ ...labelsOf(direction, pod), ...to }, protection, peerName, target);
    const received =
      server === undefined
        ? { source: [], destination: [] }
        : inboundEnds({ ...labelsOf('inbound', server), ...to }, protection, pod.identityName);
    const find = (one: Labels): End => this.#findEnd(one);
    const kind = {
      direction,
      pod,
      podName: pod.name,
      podNamespace: pod.namespace,
      protection,
      peer,
      isRelayed,
      address: target.address.slice(),
      port: target.port,
      workload: target.workload ?? 0,
      serviceName: target.service?.name,
    };
    const sources = [...ends.source, ...received.source].map(find);
    const destinations = isRelayed ? [...ends.destination, ...received.destination].map(find) : [];
    return { kind, sources, destinations, ends: [...sources, ...destinations], labels, open: 0 };
  }

  #findEnd(labels: Labels): End {
    const series = this.#writer.series('transport', labels);
    let end = this.#ends.get(series.key);
    if (end === undefined) this.#ends.set(series.key, (end = { series, labels, closed: new Map(), open: 0 }));
    return end;
  }

  #forgetUnused(): void {
    this.#recent.fill(undefined);
    for (const [key, { open }] of this.#links) if (open === 0) this.#links.delete(key);
    for (const [key, { open }] of this.#ends) if (open === 0) this.#ends.delete(key);
  }

  #count(set: SetName, labels: Labels): void {
    this.#writer.add(this.#writer.series(set, labels), 0, 1);
  }
}

interface EndLabels {
  readonly source: readonly Labels[];
  readonly destination: readonly Labels[];
}

function inboundEnds(labels: Labels, protection: Protection, client: string): EndLabels {
  return {
    source: [{ ...labels, peer: 'src', ...protections[protection], client_id: client }],
    destination: [{ ...labels, peer: 'dst', ...protections.ownApp }],
  };
}

function outboundEnds(labels: Labels, protection: Protection, server: string, target: ConnectionTarget): EndLabels {
  const { names, service } = target;
  return {
    source: [{ ...labels, peer: 'src', ...protections.ownApp }],
    destination: [
      {
        ...labels,
        peer: 'dst',
        ...protections[protection],
        server_id: server,
        ...(names !== undefined && namesOf(names)),
        ...(service !== undefined && { dst_service: service.name }),
      },
    ],
  };
}

/** What the kernel said, or would have. */
function errnoOf(reason: CloseReason, errno: number): string {
  switch (reason) {
    case 'finished':
    case 'tunnel':
      return '';
    case 'reset-by-client':
    case 'reset-by-upstream':
      return 'ECONNRESET';
    case 'connect-timeout':
    case 'idle-timeout':
      return 'ETIMEDOUT';
    case 'tls-failed':
      return 'EPROTO';
    case 'refused':
    case 'shutdown':
    case 'revoked':
      return 'ECONNABORTED';
    case 'connect-failed':
    case 'error':
      return getSystemErrorMap().get(-errno)?.[0] ?? 'EIO';
  }
}

/** In the label `error`, with Linkerd's words. */
const proxyErrors: Readonly<Partial<Record<CloseReason, string>>> = {
  'connect-failed': 'i/o',
  'connect-timeout': 'dispatch timeout',
  'tls-failed': 'i/o',
  error: 'unexpected',
  revoked: 'unexpected',
};

function labelsOf(direction: Direction, pod: WorkerPod): Labels {
  return { direction, ...podLabels(pod) };
}
