import type { Address, Network } from './address.ts';
import { isInNetwork, parseAddress } from './address.ts';
import type { HostPort, SourceEndpointSlice } from './objects.ts';
import { includesPort } from './opaque-ports.ts';
import type { Endpoint, Service, ServicePort } from './service.ts';
import { compileEndpoints, familyOf } from './service.ts';
import type { PortRange } from './skips.ts';
import type { Workload, WorkloadFacts } from './workload.ts';
import { ownerOfAddress, sameFacts, samePorts } from './workload.ts';

/** What an address and a port lead to. */
export type Destination =
  /** Inside the cluster's networks, and no object has the address (yet). */
  | { readonly kind: 'unknown' }
  /** Nothing of the cluster, or a port of a node that leads to none of its pods. */
  | { readonly kind: 'external' }
  | {
      readonly kind: 'workload';
      readonly workload: WorkloadFacts;
      /** Where it is reached; absent where that is what was dialled. */
      readonly target?: Target;
    }
  | {
      readonly kind: 'service';
      readonly service: ServiceFacts;
      /** By address and port. */
      readonly endpoints: ReadonlyMap<string, Endpoint>;
    };

export interface Target {
  readonly address: string;
  readonly port: number;
}

/** What a client has to know of a service and one of its ports. */
export interface ServiceFacts {
  readonly namespace: string;
  readonly name: string;
  /** Empty where the port has no name, or where the service has no such port; then it has no endpoints either. */
  readonly portName: string;
  readonly appProtocol: string;
  readonly opaquePorts: readonly PortRange[];
  /** A client is always led to the same endpoint. */
  readonly sessionAffinity: boolean;
  /** Only endpoints of the client's own node may be used. */
  readonly nodeLocal: boolean;
}

/** The model as a look-up sees it. */
export interface MeshView {
  /** All pods, of whatever state, that have the address. */
  podsAt(address: string): Iterable<Workload>;
  serviceAt(address: string): Service | undefined;
  slicesOf(service: Service): Iterable<SourceEndpointSlice>;
  isNode(address: string): boolean;
  /** That has the port on all nodes, where the address is a node's. */
  serviceAtNode(address: string, port: number): Service | undefined;
  /** All pods, of whatever state, that have the port on the node whose address it is. */
  podsAtNode(address: string, port: number): Iterable<Workload>;
}

/** @param address in the form of formatAddress */
export function lookUp(
  view: MeshView,
  clusterNetworks: readonly Network[],
  address: string,
  port: number,
): Destination {
  const service = view.serviceAt(address);
  if (service !== undefined) return servicePort(view, service, (one) => one.port === port, { address, port });
  const pods = [...view.podsAt(address)];
  const workload = ownerOfAddress(pods);
  if (workload !== undefined) return { kind: 'workload', workload };
  const atNode = lookUpAtNode(view, address, port);
  if (atNode !== undefined) return atNode;
  if (view.isNode(address) || pods.some((pod) => pod.hostNetwork && !pod.terminal)) return { kind: 'external' };
  return { kind: isInside(clusterNetworks, parseAddress(address)) ? 'unknown' : 'external' };
}

/** What kube-proxy and the CNI's portmap do there for those who dial in plaintext. */
function lookUpAtNode(view: MeshView, address: string, port: number): Destination | undefined {
  const service = view.serviceAtNode(address, port);
  if (service !== undefined) {
    return servicePort(view, { ...service, nodeLocal: false }, (one) => one.nodePort === port, { address, port });
  }
  const leads = (one: HostPort): boolean => one.port === port && (one.address === '' || one.address === address);
  const pods = [...view.podsAtNode(address, port)].filter(({ hostPorts }) => hostPorts.some(leads));
  const workload = ownerOfAddress(pods);
  const { addresses, hostPorts } = pods.find(({ uid }) => uid === workload?.uid) ?? { addresses: [], hostPorts: [] };
  const own = addresses.find((one) => familyOf(one) === familyOf(address));
  const containerPort = hostPorts.find(leads)?.containerPort;
  if (workload === undefined || own === undefined || containerPort === undefined) return undefined;
  return { kind: 'workload', workload, target: { address: own, port: containerPort } };
}

function servicePort(
  view: MeshView,
  service: Service,
  isMeant: (port: ServicePort) => boolean,
  dialled: Target,
): Destination {
  const { namespace, name, opaquePorts, sessionAffinity, nodeLocal } = service;
  const { address, port } = dialled;
  const found = service.ports.find(isMeant);
  return {
    kind: 'service',
    service: {
      namespace,
      name,
      portName: found?.name ?? '',
      appProtocol: found?.appProtocol ?? '',
      opaquePorts: includesPort(opaquePorts, found?.port ?? port) ? [[port, port]] : [],
      sessionAffinity,
      nodeLocal,
    },
    endpoints:
      found === undefined
        ? new Map()
        : compileEndpoints(found.name, familyOf(address), view.slicesOf(service), (one) => view.podsAt(one)),
  };
}

function isInside(networks: readonly Network[], address: Address): boolean {
  return networks.some((network) => isInNetwork(network, address));
}

/** Whether two are one but for the endpoints. */
export function sameHead(a: Destination, b: Destination): boolean {
  switch (a.kind) {
    case 'workload':
      return b.kind === 'workload' && sameFacts(a.workload, b.workload) && sameTarget(a.target, b.target);
    case 'service':
      return b.kind === 'service' && sameService(a.service, b.service);
    default:
      return a.kind === b.kind;
  }
}

function sameTarget(a: Target | undefined, b: Target | undefined): boolean {
  return a?.address === b?.address && a?.port === b?.port;
}

function sameService(a: ServiceFacts, b: ServiceFacts): boolean {
  return (
    a.namespace === b.namespace &&
    a.name === b.name &&
    a.portName === b.portName &&
    a.appProtocol === b.appProtocol &&
    a.sessionAffinity === b.sessionAffinity &&
    a.nodeLocal === b.nodeLocal &&
    samePorts(a.opaquePorts, b.opaquePorts)
  );
}
