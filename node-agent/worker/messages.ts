import { isIP } from 'node:net';

import type { Owner } from '../../mesh/owner.ts';
import type { Protocol } from '../../mesh/protocol.ts';
import type { PortRange, Subnet } from '../../mesh/skips.ts';
import type { CloseReason } from '../../native/engine.d.ts';

export type Direction = 'inbound' | 'outbound';

/** Where connections to an address and port go. `port` 0: who the address is, as a source of connections. */
export interface DestinationMessage {
  readonly type: 'destination';
  readonly address: string;
  readonly port: number;
  readonly destination:
    | { readonly kind: 'unknown' }
    | { readonly kind: 'external'; readonly protocol: Protocol }
    | {
        readonly kind: 'endpoints';
        readonly protocol: Protocol;
        readonly endpoints: readonly EndpointMessage[];
        /** A client is always led to the same endpoint. */
        readonly sessionAffinity?: boolean;
        /** For people: the Service that has the address. */
        readonly service?: ServiceName;
        /** Of a source that has begun or ceased to be meshed, or is to be: how long ago. Absent where that is long past. */
        readonly changedMs?: number;
      };
}

export interface EndpointMessage {
  readonly address: string;
  readonly port: number;
  /** Its agent captures it; undefined while nobody has said. */
  readonly meshed: boolean | undefined;
  /** The name in its certificate; empty for what is no pod. */
  readonly identity: string;
  readonly uid: string;
  /** Of this node's enrolled pods; 0: it runs elsewhere. */
  readonly localPod: number;
  /** For people; absent of what is no pod. */
  readonly names?: EndpointNames;
}

export interface ServiceName {
  readonly namespace: string;
  readonly name: string;
}

export interface EndpointNames {
  readonly namespace: string;
  readonly pod: string;
  readonly serviceAccount: string;
  readonly owner: Owner | undefined;
  /** Of the Deployment's template; empty of other pods. */
  readonly templateHash: string;
  /** Empty where nobody has said. */
  readonly zone: string;
}

/** What we show as this identity: DER, leaf first, and whom we trust. */
export interface CredentialsMessage {
  readonly type: 'credentials';
  readonly identity: string;
  readonly certificates: readonly Uint8Array[];
  /** PKCS #8, DER. */
  readonly privateKey: Uint8Array;
  readonly trustAnchors: readonly Uint8Array[];
}

export type MessageToWorker =
  | {
      readonly type: 'pod';
      readonly pod: number;
      readonly namespace: string;
      readonly name: string;
      readonly owner: Owner | undefined;
      readonly identity: string;
      readonly opaquePorts: readonly PortRange[];
      /** What is not captured: connections to these ports, and from these clients. */
      readonly skippedPorts: readonly PortRange[];
      readonly skippedClients: readonly Subnet[];
    }
  /** Since when peers know the pod as meshed; undefined: they do not, or no more. */
  | { readonly type: 'announced'; readonly pod: number; readonly announcedMs: number | undefined }
  | DestinationMessage
  | { readonly type: 'forget-destination'; readonly address: string; readonly port: number }
  | CredentialsMessage
  /** No pod of this node is that identity any more. */
  | { readonly type: 'forget-credentials'; readonly identity: string }
  /** The first one encrypts session tickets, all decrypt. */
  | { readonly type: 'ticket-keys'; readonly keys: readonly Uint8Array[] }
  | { readonly type: 'pod-released'; readonly pod: number }
  /** Report connections that prove the pod's enrolment, until forget-proof. */
  | { readonly type: 'expect-proof'; readonly pod: number }
  | { readonly type: 'forget-proof'; readonly pod: number };

export type MessageToMain =
  | { readonly type: 'proof'; readonly pod: number; readonly direction: Direction; readonly remotePort: number }
  | { readonly type: 'connections'; readonly connections: readonly ConnectionReport[]; readonly dropped: number }
  /** Connections wait for the answer, a DestinationMessage. */
  | { readonly type: 'resolve'; readonly address: string; readonly port: number }
  /** They cannot be used. */
  | { readonly type: 'credentials-refused'; readonly identity: string; readonly reason: string }
  /** The last connection of a released pod has ended in this worker. */
  | { readonly type: 'pod-drained'; readonly pod: number };

/** Resolves to whether the channel took the message; main may be away. */
export type SendToMain = (message: MessageToMain) => Promise<boolean>;

export interface ConnectionReport {
  readonly pod: string;
  readonly direction: Direction;
  readonly client: string;
  readonly destination: string;
  /** Identity at the other end; empty where it is none of the mesh. */
  readonly peer: string;
  readonly decision: 'relayed' | 'refused';
  readonly reason: CloseReason;
  readonly errno: number;
  readonly bytesToUpstream: number;
  readonly bytesToClient: number;
  readonly durationMs: number;
}

/** In one message. */
export const maximumReports = 4096;

/** What main gives a worker, as JSON in its only argument. */
export interface WorkerOptions {
  readonly slot: number;
  readonly brokerPath: string;
  readonly uid: number;
  /** Descriptor of the clients map, inherited. */
  readonly clientsMap: number;
  /** Descriptor of the memory for metrics, inherited. */
  readonly metricsMemory: number;
  readonly pipes: number;
  readonly pipeBytes: number;
  readonly outboundConnectTimeoutMs: number;
  readonly peerConnectTimeoutMs: number;
  readonly inboundConnectTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly drainTimeoutMs: number;
  readonly logConnections: boolean;
  /** How the names of the mesh's identities end. */
  readonly identitySuffix: string;
  /** Connections between pods of this node go by mutual TLS too. */
  readonly sameNodeMtls: boolean;
}

/** A worker parses what strangers send, so main believes nothing that comes from one: undefined where it makes no sense. */
export function readMessageToMain(message: unknown): MessageToMain | undefined {
  if (!isRecord(message)) return undefined;
  switch (message['type']) {
    case 'proof':
      return isPodId(message['pod']) && isDirection(message['direction']) && isPort(message['remotePort'])
        ? { type: 'proof', pod: message['pod'], direction: message['direction'], remotePort: message['remotePort'] }
        : undefined;
    case 'pod-drained':
      return isPodId(message['pod']) ? { type: 'pod-drained', pod: message['pod'] } : undefined;
    case 'credentials-refused':
      return isText(message['identity']) && isText(message['reason'])
        ? { type: 'credentials-refused', identity: message['identity'], reason: message['reason'] }
        : undefined;
    case 'resolve':
      return typeof message['address'] === 'string' && isIP(message['address']) !== 0 && isPort(message['port'])
        ? { type: 'resolve', address: message['address'], port: message['port'] }
        : undefined;
    case 'connections':
      return Array.isArray(message['connections']) &&
        message['connections'].length <= maximumReports &&
        message['connections'].every(isReport) &&
        isCount(message['dropped'])
        ? { type: 'connections', connections: message['connections'].map(onlyReported), dropped: message['dropped'] }
        : undefined;
    default:
      return undefined;
  }
}

const reportTexts = ['pod', 'client', 'destination', 'peer', 'reason'] as const;
const reportNumbers = ['errno', 'bytesToUpstream', 'bytesToClient', 'durationMs'] as const;
/** Above two names of Kubernetes with what is between them. */
const maximumText = 600;

/** They go to the log, where other fields would pass for main's own. */
function onlyReported(report: ConnectionReport): ConnectionReport {
  const names = ['direction', 'decision', ...reportTexts, ...reportNumbers] as const;
  return Object.fromEntries(names.map((name) => [name, report[name]])) as unknown as ConnectionReport;
}

function isReport(value: unknown): value is ConnectionReport {
  return (
    isRecord(value) &&
    isDirection(value['direction']) &&
    (value['decision'] === 'relayed' || value['decision'] === 'refused') &&
    reportTexts.every((name) => isText(value[name])) &&
    reportNumbers.every((name) => typeof value[name] === 'number')
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function isDirection(value: unknown): value is Direction {
  return value === 'inbound' || value === 'outbound';
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.length <= maximumText;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

function isPodId(value: unknown): value is number {
  return isCount(value) && value > 0;
}

function isPort(value: unknown): value is number {
  return isCount(value) && value <= 65535;
}
