/** Counted by workers. Names and labels are Linkerd's where Linkerd has them; those of its own begin with weft_. */
const pod = ['direction', 'namespace', 'pod'] as const;
const transport = [...pod, 'peer', 'tls', 'no_tls_reason', 'client_id', 'server_id'] as const;

export const families = {
  tcp_open_total: { type: 'counter', labels: transport, help: 'Connections that were opened.' },
  tcp_open_connections: { type: 'gauge', labels: transport, help: 'Connections that are open.' },
  tcp_close_total: { type: 'counter', labels: [...transport, 'errno'], help: 'Connections that have ended.' },
  tcp_read_bytes_total: { type: 'counter', labels: transport, help: 'Bytes read from the client.' },
  tcp_write_bytes_total: { type: 'counter', labels: transport, help: 'Bytes written to the client.' },
  weft_connections_refused_total: {
    type: 'counter',
    labels: [...pod, 'reason'],
    help: 'Connections that were refused, by reason.',
  },
  weft_tls_failures_total: {
    type: 'counter',
    labels: [...pod, 'reason'],
    help: 'Connections that ended as TLS failed, by reason.',
  },
  weft_metrics_overflow_total: {
    type: 'counter',
    labels: [],
    help: 'Counts that found no series of their own, as there are too many.',
  },
} as const satisfies Record<string, Family>;

export interface Family {
  readonly type: 'counter' | 'gauge';
  readonly labels: readonly string[];
  readonly help: string;
}

export type FamilyName = keyof typeof families;
export type Labels = Readonly<Record<string, string>>;

export function seriesKey(family: FamilyName, labels: Labels): string {
  return family + JSON.stringify(labels);
}

export function isGauge(key: string): boolean {
  const family = parseSeriesKey(key)?.family;
  return family !== undefined && families[family].type === 'gauge';
}

/** Undefined where it is none of ours. */
export function parseSeriesKey(key: string): { readonly family: FamilyName; readonly labels: Labels } | undefined {
  const brace = key.indexOf('{');
  const family = key.slice(0, brace);
  if (!isFamily(family)) return undefined;
  try {
    const labels: unknown = JSON.parse(key.slice(brace));
    if (typeof labels !== 'object' || labels === null) return undefined;
    const allowed: readonly string[] = families[family].labels;
    const areOurs = Object.entries(labels).every(
      ([name, value]) => allowed.includes(name) && typeof value === 'string',
    );
    return areOurs ? { family, labels: labels as Labels } : undefined;
  } catch {
    return undefined;
  }
}

function isFamily(name: string): name is FamilyName {
  return Object.hasOwn(families, name);
}
