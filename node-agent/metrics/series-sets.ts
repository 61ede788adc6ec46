import type { Family, FamilyName } from './families.ts';
import { families } from './families.ts';
import { maximumKeyBytes } from './series-memory.ts';

export type Labels = Readonly<Record<string, string>>;

/**
 * What is counted together and has one slot: the labels are written there once, and whoever counts finds all the cells with one look.
 * A family has the labels of its set or fewer; what differs only in the rest is added up by main.
 */
export interface SeriesSet {
  readonly number: number;
  readonly name: SetName;
  readonly labels: readonly string[];
  /** What is kept when there is no room for all that differ: words of ours, of which there are few. */
  readonly kept: readonly string[];
  readonly parts: readonly SetPart[];
  readonly cells: number;
  readonly maximumKeyBytes: number;
}

export interface SetPart {
  readonly family: FamilyName;
  readonly definition: Family;
  /** Of a histogram: one for each bucket, +Inf included, then the sum; else one. */
  readonly firstCell: number;
  readonly cells: number;
  /** Where the labels of the family stand in those of the set; -1: derivedLabels has it. */
  readonly places: readonly number[];
}

/** Written once: what can be told from another label. */
export const derivedLabels: Readonly<Record<string, (labels: Labels) => string>> = {
  target_ip: ({ target_addr = '' }) => /^\[?(.+?)\]?:\d+$/.exec(target_addr)?.[1] ?? '',
  target_port: ({ target_addr = '' }) => /:(\d+)$/.exec(target_addr)?.[1] ?? '',
};

const members = {
  transport: ['tcp_open_total', 'tcp_open_connections', 'tcp_read_bytes_total', 'tcp_write_bytes_total'],
  transport_close: ['tcp_close_total'],
  inbound_tcp_errors: ['inbound_tcp_errors_total'],
  outbound_tcp_errors: ['outbound_tcp_errors_total'],
  request: ['request_total'],
  response: ['response_total', 'response_latency_ms'],
  inbound_http_errors: ['inbound_http_errors_total'],
  outbound_http_errors: ['outbound_http_errors_total'],
  inbound_http_route: ['inbound_http_requests_total'],
  inbound_grpc_route: ['inbound_grpc_requests_total'],
  inbound_http_route_response: ['inbound_http_statuses_total', 'inbound_http_request_duration_seconds'],
  inbound_grpc_route_response: ['inbound_grpc_statuses_total', 'inbound_grpc_request_duration_seconds'],
  outbound_http_backend: ['outbound_http_route_backend_requests_total'],
  outbound_grpc_backend: ['outbound_grpc_route_backend_requests_total'],
  outbound_http_backend_response: [
    'outbound_http_route_backend_response_statuses_total',
    'outbound_http_route_request_statuses_total',
    'outbound_http_route_request_duration_seconds',
  ],
  outbound_grpc_backend_response: [
    'outbound_grpc_route_backend_response_statuses_total',
    'outbound_grpc_route_request_statuses_total',
    'outbound_grpc_route_request_duration_seconds',
  ],
  refused: ['weft_connections_refused_total'],
  tls_failures: ['weft_tls_failures_total'],
  overflow: ['weft_metrics_overflow_total'],
} as const satisfies Record<string, readonly [FamilyName, ...FamilyName[]]>;

export type SetName = keyof typeof members;

const keptLabels: readonly string[] = ['direction', 'peer', 'classification', 'series'];

export const seriesSets: readonly SeriesSet[] = Object.entries(members).map(([name, names], number) => {
  const [first] = names; // has all the labels
  const labels = families[first].labels.filter((label) => !Object.hasOwn(derivedLabels, label));
  const parts: SetPart[] = [];
  let cells = 0;
  for (const family of names) {
    const definition: Family = families[family];
    const count = definition.bounds === undefined ? 1 : definition.bounds.length + 2;
    const places = definition.labels.map((label) => labels.indexOf(label));
    parts.push({ family, definition, firstCell: cells, cells: count, places });
    cells += count;
  }
  return {
    number,
    name: name as SetName,
    labels,
    kept: labels.filter((label) => keptLabels.includes(label)),
    parts,
    cells,
    maximumKeyBytes: maximumKeyBytes(cells),
  };
});

const byName = Object.fromEntries(seriesSets.map((set) => [set.name, set])) as Readonly<Record<SetName, SeriesSet>>;

export function seriesSet(name: SetName): SeriesSet {
  return byName[name];
}

/** Where a family is counted: of its set, all of whose cells a Series leads to. */
export function partOf(family: FamilyName): SetPart {
  const part = seriesSets.flatMap(({ parts }) => parts).find((one) => one.family === family);
  if (part === undefined) throw new Error(`${family} is in no set`);
  return part;
}

/** A key is the values of the set's labels, in their order. */
const separator = '\x1f';

export function keyOfLabels(set: SeriesSet, labels: Labels): string {
  return set.labels.map((label) => labels[label]?.replaceAll(separator, ' ') ?? '').join(separator);
}

/** Undefined where it is no key of the set. */
export function labelsOfKey(set: SeriesSet, key: string): Record<string, string> | undefined {
  const values = key.split(separator);
  if (values.length !== set.labels.length) return undefined;
  return Object.fromEntries(set.labels.map((label, index) => [label, values[index] ?? '']));
}

/** Stands for all values for which there was no room. */
const overflowValue = 'overflow';

/** Of the series that counts what has no room of its own. */
export function foldedKey(set: SeriesSet, key: string): string {
  const values = key.split(separator);
  return set.labels
    .map((label, index) => (set.kept.includes(label) ? (values[index] ?? '') : overflowValue))
    .join(separator);
}
