import type { CloseReason } from '../../native/engine.d.ts';

export type Direction = 'inbound' | 'outbound';

export type MessageToWorker =
  | { readonly type: 'pod'; readonly pod: number; readonly namespace: string; readonly name: string }
  | { readonly type: 'pod-released'; readonly pod: number }
  /** Report connections that prove the pod's enrolment, until forget-proof. */
  | { readonly type: 'expect-proof'; readonly pod: number }
  | { readonly type: 'forget-proof'; readonly pod: number };

export type MessageToMain =
  | { readonly type: 'proof'; readonly pod: number; readonly direction: Direction; readonly remotePort: number }
  | { readonly type: 'connections'; readonly connections: readonly ConnectionReport[]; readonly dropped: number }
  /** The last connection of a released pod has ended in this worker. */
  | { readonly type: 'pod-drained'; readonly pod: number };

export interface ConnectionReport {
  readonly pod: string;
  readonly direction: Direction;
  readonly client: string;
  readonly destination: string;
  readonly decision: 'relayed' | 'refused';
  readonly reason: CloseReason;
  readonly bytesToUpstream: number;
  readonly bytesToClient: number;
  readonly durationMs: number;
}

/** What main gives a worker, as JSON in its only argument. */
export interface WorkerOptions {
  readonly slot: number;
  readonly brokerPath: string;
  readonly uid: number;
  /** Descriptor of the clients map, inherited. */
  readonly clientsMap: number;
  readonly pipes: number;
  readonly pipeBytes: number;
  readonly outboundConnectTimeoutMs: number;
  readonly inboundConnectTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly drainTimeoutMs: number;
  readonly logConnections: boolean;
}
