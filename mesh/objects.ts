/** What the mesh reads of Kubernetes objects, wherever they come from. */
import type { NamespaceFacts, PodFacts } from './enrolment.ts';
import type { Owner } from './owner.ts';

export type SourceNamespace = NamespaceFacts;

export interface SourcePod extends Omit<PodFacts, 'containers'> {
  readonly uid: string;
  readonly name: string;
  /** Empty while it is not scheduled. */
  readonly nodeName: string;
  readonly serviceAccount: string;
  /** Undefined where nobody keeps it, or nobody whom metrics know. */
  readonly owner: Owner | undefined;
  readonly containers: readonly { readonly name: string; readonly ports: readonly number[] }[];
  /** Ports of its node that lead to it; none of one that uses its node's network. */
  readonly hostPorts: readonly HostPort[];
  /** podIPs as text; empty until there are any. */
  readonly addresses: readonly string[];
  /** Milliseconds since the epoch; 0 where nothing tells. */
  readonly createdAt: number;
  /** It has a deletionTimestamp. */
  readonly deleting: boolean;
  /** Its condition Ready. */
  readonly ready: boolean;
}

/** TCP only. */
export interface HostPort {
  readonly port: number;
  readonly containerPort: number;
  /** Of the node; empty: all that it has. */
  readonly address: string;
}

export interface SourceServiceAccount {
  readonly namespace: string;
  readonly name: string;
}

export interface SourceService {
  readonly namespace: string;
  readonly name: string;
  readonly annotations: Readonly<Record<string, string>>;
  /** clusterIPs as text; none of a headless service. */
  readonly addresses: readonly string[];
  readonly ports: readonly SourceServicePort[];
  /** By the client's address (ClientIP), as there is no other. */
  readonly sessionAffinity: boolean;
  /** Clients inside of the cluster reach endpoints of their own node only (internalTrafficPolicy: Local). */
  readonly nodeLocal: boolean;
}

export interface SourceServicePort {
  /** Empty where it has none. */
  readonly name: string;
  readonly port: number;
  readonly protocol: string;
  /** A number, or the name of a container port. */
  readonly targetPort: number | string;
  /** Of all nodes; 0: none. */
  readonly nodePort: number;
  readonly appProtocol: string;
}

export interface SourceEndpointSlice {
  readonly namespace: string;
  readonly name: string;
  /** Of the same namespace. */
  readonly service: string;
  readonly ports: readonly { readonly name: string; readonly port: number; readonly protocol: string }[];
  readonly endpoints: readonly SourceEndpoint[];
}

export interface SourceEndpoint {
  readonly addresses: readonly string[];
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  /** Its addresses are a pod's. */
  readonly isPod: boolean;
  readonly nodeName: string;
  readonly zone: string;
}

export interface SourceNode {
  readonly name: string;
  /** Empty where no cloud says. */
  readonly zone: string;
  /** From which the kubelet probes its pods. */
  readonly addresses: readonly string[];
  /** Their keys, in the order of the object. */
  readonly taints: readonly string[];
}

interface Kinds {
  readonly Namespace: SourceNamespace;
  readonly Pod: SourcePod;
  readonly Service: SourceService;
  readonly EndpointSlice: SourceEndpointSlice;
  readonly ServiceAccount: SourceServiceAccount;
  readonly Node: SourceNode;
}

export type SourceKind = keyof Kinds;

export type SourceObject = { [Kind in SourceKind]: { readonly kind: Kind; readonly value: Kinds[Kind] } }[SourceKind];

/** Pods go by their uid, as a successor of the same name may be there before its predecessor is gone. */
export function objectKey(object: SourceObject): string {
  switch (object.kind) {
    case 'Namespace':
    case 'Node':
      return `${object.kind}/${object.value.name}`;
    case 'Pod':
      return `Pod/${object.value.uid}`;
    default:
      return `${object.kind}/${object.value.namespace}/${object.value.name}`;
  }
}
