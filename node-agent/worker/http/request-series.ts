import type { FamilyName } from '../../metrics/families.ts';
import type { Labels, SetName } from '../../metrics/series-sets.ts';
import { partOf } from '../../metrics/series-sets.ts';
import type { Series, SeriesWriter } from '../../metrics/series-writer.ts';
import type { Direction } from '../messages.ts';
import type { Classification } from './classification.ts';
import type { RequestError } from './request-errors.ts';
import { grpcStatusNames } from './request-errors.ts';
import { noGrpcStatus } from './request-record.ts';

/** What became of a request. */
export interface Outcome {
  readonly isGrpc: boolean;
  /** 0: none. */
  readonly status: number;
  /** noGrpcStatus: none. */
  readonly grpcStatus: number;
  readonly error: RequestError;
  /** Undefined: the client left before there was a response. */
  readonly classification: Classification | undefined;
}

/** Different for each outcome that some label tells. */
function numberOf({ isGrpc, status, grpcStatus, error, classification }: Outcome): number {
  const grpc = grpcStatus === noGrpcStatus ? 31 : Math.min(grpcStatus, 30);
  const isFailure = classification === 'failure' ? 1 : 0;
  return (((status * 32 + grpc) * 32 + error.number) * 2 + isFailure) * 2 + (isGrpc ? 1 : 0);
}

function observer(family: FamilyName): (writer: SeriesWriter, series: Series, value: number) => void {
  const { definition, firstCell } = partOf(family);
  const { bounds = [], scale = 1 } = definition;
  return (writer, series, value) => {
    writer.observe(series, firstCell, bounds, scale, value);
  };
}

const observeLatency = observer('response_latency_ms');

/** request_total and what belongs to it, of requests that differ in nothing but what became of them. */
export class RequestSeries {
  readonly #writer: SeriesWriter;
  readonly #labels: Labels;
  readonly #requests: Series;
  readonly #errors: SetName;
  readonly #responses = new Map<number, Series>();
  readonly #errorsByNumber = new Map<number, Series>();

  constructor(writer: SeriesWriter, direction: Direction, labels: Labels) {
    this.#writer = writer;
    this.#labels = labels;
    this.#requests = writer.series('request', labels);
    this.#errors = `${direction}_http_errors`;
  }

  requested(): void {
    this.#writer.add(this.#requests, 0, 1);
  }

  responded(outcome: Outcome, timeToHeadMs: number): void {
    const number = numberOf(outcome);
    let series = this.#responses.get(number);
    if (series === undefined) this.#responses.set(number, (series = this.#responseSeries(outcome)));
    this.#writer.add(series, 0, 1);
    if (outcome.status !== 0) observeLatency(this.#writer, series, timeToHeadMs);
  }

  failed({ number, ofProxy }: RequestError): void {
    let series = this.#errorsByNumber.get(number);
    if (series === undefined) {
      series = this.#writer.series(this.#errors, { ...this.#labels, error: ofProxy });
      this.#errorsByNumber.set(number, series);
    }
    this.#writer.add(series, 0, 1);
  }

  #responseSeries({ status, grpcStatus, error, classification }: Outcome): Series {
    return this.#writer.series('response', {
      ...this.#labels,
      classification: classification ?? '',
      status_code: status === 0 ? '' : `${status}`,
      grpc_status: grpcStatus === noGrpcStatus ? '' : `${grpcStatus}`,
      error: error.ofResponse,
    });
  }
}

/** The families by route and backend, of one direction. */
const byRoute = {
  inbound: {
    http: {
      requests: 'inbound_http_route',
      responses: 'inbound_http_route_response',
      observe: observer('inbound_http_request_duration_seconds'),
      routeStatuses: partOf('inbound_http_statuses_total').firstCell,
      backendStatuses: undefined,
    },
    grpc: {
      requests: 'inbound_grpc_route',
      responses: 'inbound_grpc_route_response',
      observe: observer('inbound_grpc_request_duration_seconds'),
      routeStatuses: partOf('inbound_grpc_statuses_total').firstCell,
      backendStatuses: undefined,
    },
  },
  outbound: {
    http: {
      requests: 'outbound_http_backend',
      responses: 'outbound_http_backend_response',
      observe: observer('outbound_http_route_request_duration_seconds'),
      routeStatuses: partOf('outbound_http_route_request_statuses_total').firstCell,
      backendStatuses: partOf('outbound_http_route_backend_response_statuses_total').firstCell,
    },
    grpc: {
      requests: 'outbound_grpc_backend',
      responses: 'outbound_grpc_backend_response',
      observe: observer('outbound_grpc_route_request_duration_seconds'),
      routeStatuses: partOf('outbound_grpc_route_request_statuses_total').firstCell,
      backendStatuses: partOf('outbound_grpc_route_backend_response_statuses_total').firstCell,
    },
  },
} as const;

/** The families by route and backend, of requests that differ in nothing but what became of them. */
export class RouteSeries {
  readonly #writer: SeriesWriter;
  readonly #labels: Labels;
  readonly #direction: Direction;
  readonly #requests: { readonly http: Series; readonly grpc: Series };
  readonly #responses = new Map<number, Series>();

  constructor(writer: SeriesWriter, direction: Direction, labels: Labels) {
    this.#writer = writer;
    this.#labels = labels;
    this.#direction = direction;
    const { http, grpc } = byRoute[direction];
    this.#requests = { http: writer.series(http.requests, labels), grpc: writer.series(grpc.requests, labels) };
  }

  requested(isGrpc: boolean): void {
    this.#writer.add(isGrpc ? this.#requests.grpc : this.#requests.http, 0, 1);
  }

  /** @param isOfBackend the response is not ours */
  responded(outcome: Outcome, isOfBackend: boolean, durationMs: number): void {
    const { observe, routeStatuses, backendStatuses } = byRoute[this.#direction][outcome.isGrpc ? 'grpc' : 'http'];
    const number = numberOf(outcome);
    let series = this.#responses.get(number);
    if (series === undefined) this.#responses.set(number, (series = this.#responseSeries(outcome)));
    this.#writer.add(series, routeStatuses, 1);
    if (backendStatuses !== undefined && isOfBackend) this.#writer.add(series, backendStatuses, 1);
    observe(this.#writer, series, durationMs / 1000);
  }

  #responseSeries({ isGrpc, status, grpcStatus, error }: Outcome): Series {
    const told = isGrpc
      ? grpcStatus === noGrpcStatus
        ? ''
        : (grpcStatusNames[grpcStatus] ?? 'UNKNOWN')
      : status === 0
        ? ''
        : `${status}`;
    const label = this.#direction === 'inbound' ? 'status' : isGrpc ? 'grpc_status' : 'http_status';
    const { responses } = byRoute[this.#direction][isGrpc ? 'grpc' : 'http'];
    return this.#writer.series(responses, { ...this.#labels, [label]: told, error: error.ofResponse });
  }
}
