import type { Address } from '../../../mesh/address.ts';
import { isIPv4 } from '../../../mesh/address.ts';
import type { Engine } from '../../../native/engine.d.ts';
import type { SeriesWriter } from '../../metrics/series-writer.ts';
import type { Protection } from '../connection-metrics.ts';
import type { Destination, Destinations, Key } from '../destinations.ts';
import type { WorkerPod, WorkerPods } from '../pods.ts';
import { classify } from './classification.ts';
import type { Counted, CountedConnection } from './counted-connection.ts';
import type { HttpMetrics, RequestFacts } from './metrics-sink.ts';
import type { RequestContext } from './request-context.ts';
import { errorOf } from './request-errors.ts';
import { inboundLabels, inboundRouteLabels, outboundLabels, outboundRouteLabels, serviceOf } from './request-labels.ts';
import type { RequestRecord } from './request-record.ts';
import type { Outcome } from './request-series.ts';
import { RequestSeries, RouteSeries } from './request-series.ts';
import type { Upstream } from './upstreams.ts';

/** Beyond it a pod's are forgotten: those that are counted in are found again. */
const maximumPerPod = 4096;

export interface HttpMetricsDependencies {
  readonly writer: SeriesWriter;
  readonly engine: Pick<Engine, 'nameOf'>;
  readonly pods: Pick<WorkerPods, 'get'>;
  readonly destinations: Pick<Destinations, 'find'>;
}

interface OutboundRoute {
  readonly destination: Destination | undefined;
  readonly series: RouteSeries;
}

/** Where a pod's requests are counted. All look-ups are by numbers and objects that are at hand: nothing is made per request. */
class PodRequests {
  readonly name: string;
  /** By peer, port, and how they come. */
  readonly inbound = new Map<number, RequestSeries>();
  readonly inboundRoutes = new Map<number, RouteSeries>();
  /** Each by authority. */
  readonly outbound = new WeakMap<Upstream, Map<number, RequestSeries>>();
  readonly direct = new Map<Key, Map<number, RequestSeries>>();
  readonly outboundRoutes = new Map<Key, OutboundRoute>();
  size = 0;

  constructor(name: string) {
    this.name = name;
  }
}

/** Golden metrics, in memory that main reads. */
export class HttpRequestMetrics implements HttpMetrics {
  readonly #with: HttpMetricsDependencies;
  readonly #pods = new WeakMap<WorkerPod, PodRequests>();

  constructor(dependencies: HttpMetricsDependencies) {
    this.#with = dependencies;
  }

  requested(): void {
    // Where it goes is part of what is counted, and not known yet.
  }

  forwarded(context: RequestContext, { authority, isGrpc }: RequestFacts, upstream: Upstream | undefined): void {
    const { requests, route, received } = this.#counted(context, authority, upstream);
    requests.requested();
    route.requested(isGrpc);
    received?.requests.requested();
    received?.route.requested(isGrpc);
  }

  responded(context: RequestContext, record: RequestRecord, upstream: Upstream | undefined): void {
    const { ending, status, grpcStatus, isGrpc, isSynthetic, attempt, timeToHeadMs, durationMs } = record;
    const classification = classify(record);
    const error = errorOf(ending, status, attempt);
    const outcome: Outcome = { isGrpc, status, grpcStatus, error, classification };
    const isForwarded = attempt > 0;
    const { requests, route, received } = this.#counted(context, record.authority, upstream);
    if (error.ofProxy !== '') requests.failed(error);
    if (isForwarded && classification !== undefined) requests.responded(outcome, timeToHeadMs);
    route.responded(outcome, isForwarded && !isSynthetic, durationMs);
    if (received === undefined || !isForwarded) return;
    if (classification !== undefined) received.requests.responded(outcome, timeToHeadMs);
    received.route.responded(outcome, !isSynthetic, durationMs);
  }

  #counted(context: RequestContext, ofRequest: number, upstream: Upstream | undefined): CountedConnection {
    const { destinations, pods } = this.#with;
    const { pod, direction, counted: known } = context;
    const isOutbound = direction === 'outbound';
    const authority = isOutbound ? ofRequest : 0;
    const destination = isOutbound ? destinations.find(context.destination) : undefined;
    const server = upstream?.protection === 'sameNode' ? pods.get(upstream.endpoint.localPod) : undefined;
    const isSame =
      known !== undefined &&
      known.authority === authority &&
      known.upstream === upstream &&
      known.destination === destination &&
      known.podName === pod.name &&
      known.server === server &&
      known.serverName === server?.name;
    if (isSame) return known;
    const counted = {
      authority,
      upstream,
      destination,
      podName: pod.name,
      server,
      serverName: server?.name,
      requests: this.#requests(context, authority, upstream),
      route: this.#route(context),
      received: upstream === undefined || server === undefined ? undefined : this.#received(pod, server, upstream),
    };
    context.counted = counted;
    return counted;
  }

  #received(client: WorkerPod, server: WorkerPod, { endpoint }: Upstream): Counted {
    const { address, port } = endpoint;
    return {
      requests: this.#inbound(server, address, port, 'sameNode', client.identity),
      route: this.#inboundRoute(server, port),
    };
  }

  #requests(context: RequestContext, authority: number, upstream: Upstream | undefined): RequestSeries {
    const { direction, pod, address, port, peer } = context;
    if (direction === 'inbound')
      return this.#inbound(pod, address, port, peer === 0 ? 'plaintextFromOutside' : 'mutualTls', peer);
    const requests = this.#of(pod);
    const byAuthority =
      upstream === undefined
        ? findOrAdd(requests.direct, context.destination.key, newByAuthority)
        : findOrAdd(requests.outbound, upstream, newByAuthority);
    const known = byAuthority.get(authority);
    if (known !== undefined) return known;
    const series = this.#newOutbound(context, authority, upstream);
    byAuthority.set(authority, series);
    requests.size++;
    return series;
  }

  #newOutbound(context: RequestContext, authority: number, upstream: Upstream | undefined): RequestSeries {
    const { writer, engine, destinations } = this.#with;
    const { address, port } = upstream?.endpoint ?? context;
    const identity = upstream?.endpoint.identity ?? 0;
    const protection = upstream?.protection ?? 'plaintextToOutside';
    const isProven = protection !== 'plaintextToOutside' && identity !== 0;
    const labels = outboundLabels(context.pod, authority === 0 ? '' : engine.nameOf(authority), {
      address,
      port,
      protection,
      identity: isProven ? engine.nameOf(identity) : '',
      names: upstream?.endpoint.names,
      service: serviceOf(destinations.find(context.destination)),
    });
    return new RequestSeries(writer, 'outbound', labels);
  }

  #inbound(pod: WorkerPod, address: Address, port: number, protection: Protection, client: number): RequestSeries {
    const { writer, engine } = this.#with;
    const requests = this.#of(pod);
    const key = (client * 65_536 + port) * 4 + (isIPv4(address) ? 2 : 0) + (protection === 'sameNode' ? 1 : 0);
    const known = requests.inbound.get(key);
    if (known !== undefined) return known;
    const name = client === 0 ? '' : engine.nameOf(client);
    const series = new RequestSeries(writer, 'inbound', inboundLabels(pod, { address, port }, protection, name));
    requests.inbound.set(key, series);
    requests.size++;
    return series;
  }

  #route(context: RequestContext): RouteSeries {
    const { pod, port } = context;
    if (context.direction === 'inbound') return this.#inboundRoute(pod, port);
    const { writer, destinations } = this.#with;
    const requests = this.#of(pod);
    const { key } = context.destination;
    const destination = destinations.find(context.destination);
    const known = requests.outboundRoutes.get(key);
    if (known?.destination === destination && known !== undefined) return known.series;
    const series = new RouteSeries(writer, 'outbound', outboundRouteLabels(pod, destination, port));
    requests.outboundRoutes.set(key, { destination, series });
    requests.size++;
    return series;
  }

  #inboundRoute(pod: WorkerPod, port: number): RouteSeries {
    const { inboundRoutes } = this.#of(pod);
    const known = inboundRoutes.get(port);
    if (known !== undefined) return known;
    const series = new RouteSeries(this.#with.writer, 'inbound', inboundRouteLabels(pod, port));
    inboundRoutes.set(port, series);
    return series;
  }

  /** Main may name a pod after its first request. */
  #of(pod: WorkerPod): PodRequests {
    const known = this.#pods.get(pod);
    if (known !== undefined && known.name === pod.name && known.size < maximumPerPod) return known;
    const requests = new PodRequests(pod.name);
    this.#pods.set(pod, requests);
    return requests;
  }
}

const newByAuthority = (): Map<number, RequestSeries> => new Map();

function findOrAdd<K, V>(
  map: { get(key: K): V | undefined; set(key: K, value: V): unknown },
  key: K,
  make: () => V,
): V {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made = make();
  map.set(key, made);
  return made;
}
