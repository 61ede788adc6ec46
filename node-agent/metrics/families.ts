import { ownerKinds } from '../../mesh/owner.ts';

/**
 * Counted by workers. Names and labels are Linkerd's where Linkerd has them, with `namespace` and `pod` of the meshed pod, which
 * Linkerd's users get from the scrape; those of its own begin with weft_. docs/metrics.md tells what each means.
 */
export interface Family {
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly labels: readonly string[];
  readonly help: string;
  /** Of a histogram: upper bounds without +Inf, in the family's unit. */
  readonly bounds?: readonly number[];
  /** Of a histogram: how much of what cells hold is one of the family's unit. */
  readonly scale?: number;
}

const pod = ['namespace', 'pod', ...ownerKinds] as const;
const target = ['target_addr', 'target_ip', 'target_port'] as const;
const security = ['tls', 'no_tls_reason', 'client_id', 'server_id'] as const;
const endpoint = [
  ...['dst_namespace', 'dst_pod', 'dst_pod_template_hash', ...ownerKinds.map((kind) => `dst_${kind}`)],
  ...['dst_service', 'dst_serviceaccount', 'dst_zone'],
] as const;
const transport = ['direction', ...pod, 'peer', ...target, ...security, ...endpoint] as const;
const request = ['direction', ...pod, 'authority', ...target, ...security, ...endpoint] as const;

const inboundRoute = [
  ...pod,
  ...['parent_group', 'parent_kind', 'parent_name', 'parent_port'],
  ...['route_group', 'route_kind', 'route_name'],
] as const;
const route = [
  ...pod,
  ...['parent_group', 'parent_kind', 'parent_namespace', 'parent_name', 'parent_port', 'parent_section_name'],
  ...['route_group', 'route_kind', 'route_namespace', 'route_name'],
] as const;
const backend = [
  ...route,
  ...['backend_group', 'backend_kind', 'backend_namespace', 'backend_name', 'backend_port', 'backend_section_name'],
] as const;

const latencyBounds = [1, 10, 100, 1000, 10_000].flatMap((unit) => [1, 2, 3, 4, 5].map((times) => times * unit));
/** Linkerd's for whole requests on the inbound side and for backends; and for the rest. */
const fineBounds = [0.025, 0.05, 0.1, 0.25, 0.5, 1, 10];
const coarseBounds = [0.05, 0.5, 1, 10];
const perMillisecond = 1000;
const perSecond = 1_000_000;

function counter(labels: readonly string[], help: string): Family {
  return { type: 'counter', labels, help };
}

function seconds(labels: readonly string[], bounds: readonly number[], help: string): Family {
  return { type: 'histogram', labels, help, bounds, scale: perSecond };
}

export const families = {
  tcp_open_total: counter(transport, 'Connections that were opened.'),
  tcp_open_connections: { type: 'gauge', labels: transport, help: 'Connections that are open.' },
  tcp_close_total: counter([...transport, 'errno'], 'Connections that have ended.'),
  tcp_read_bytes_total: counter(transport, 'Bytes read from the client.'),
  tcp_write_bytes_total: counter(transport, 'Bytes written to the client.'),
  inbound_tcp_errors_total: counter([...pod, ...target, 'error'], 'Connections to pods that failed.'),
  outbound_tcp_errors_total: counter([...pod, ...target, 'error'], 'Connections of pods that failed.'),

  request_total: counter(request, 'Requests.'),
  response_total: counter(
    [...request, 'classification', 'status_code', 'grpc_status', 'error'],
    'Responses, when they are complete.',
  ),
  response_latency_ms: {
    type: 'histogram',
    labels: [...request, 'status_code'],
    help: "From a request's head until the head of its response.",
    bounds: latencyBounds,
    scale: perMillisecond,
  },
  inbound_http_errors_total: counter([...pod, ...target, 'error'], 'Requests to pods that failed here.'),
  outbound_http_errors_total: counter([...pod, ...target, 'error'], 'Requests of pods that failed here.'),

  inbound_http_requests_total: counter(inboundRoute, 'Requests to pods.'),
  inbound_grpc_requests_total: counter(inboundRoute, 'gRPC requests to pods.'),
  inbound_http_statuses_total: counter([...inboundRoute, 'status', 'error'], 'Responses of pods.'),
  inbound_grpc_statuses_total: counter([...inboundRoute, 'status', 'error'], 'gRPC responses of pods.'),
  inbound_http_request_duration_seconds: seconds(
    inboundRoute,
    fineBounds,
    "From a request's head until the end of its response.",
  ),
  inbound_grpc_request_duration_seconds: seconds(
    inboundRoute,
    fineBounds,
    "From a gRPC request's head until the end of its response.",
  ),

  outbound_http_route_request_statuses_total: counter(
    [...route, 'http_status', 'error'],
    'Responses to requests of pods.',
  ),
  outbound_grpc_route_request_statuses_total: counter(
    [...route, 'grpc_status', 'error'],
    'Responses to gRPC requests of pods.',
  ),
  outbound_http_route_request_duration_seconds: seconds(
    route,
    coarseBounds,
    "From a request's head until the end of its response.",
  ),
  outbound_grpc_route_request_duration_seconds: seconds(
    route,
    coarseBounds,
    "From a gRPC request's head until the end of its response.",
  ),
  outbound_http_route_backend_requests_total: counter(backend, 'Requests sent to a backend.'),
  outbound_grpc_route_backend_requests_total: counter(backend, 'gRPC requests sent to a backend.'),
  outbound_http_route_backend_response_statuses_total: counter(
    [...backend, 'http_status', 'error'],
    'Responses of a backend.',
  ),
  outbound_grpc_route_backend_response_statuses_total: counter(
    [...backend, 'grpc_status', 'error'],
    'gRPC responses of a backend.',
  ),

  weft_connections_refused_total: counter(['direction', ...pod, 'reason'], 'Connections that were refused, by reason.'),
  weft_tls_failures_total: counter(['direction', ...pod, 'reason'], 'Connections that ended as TLS failed, by reason.'),
  weft_metrics_overflow_total: counter(
    ['series'],
    'Counts that found no series of their own, as there are too many, by what they were folded into.',
  ),
} as const satisfies Record<string, Family>;

export type FamilyName = keyof typeof families;
