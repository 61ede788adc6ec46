import type { Address, Network } from './address.ts';
import { isInNetwork, parseAddress } from './address.ts';
import type { SourceEndpointSlice } from './objects.ts';
import { includesPort } from './opaque-ports.ts';
import type { Endpoint, Service } from './service.ts';
import { compileEndpoints, familyOf } from './service.ts';
import type { PortRange } from './skips.ts';
import type { Workload, WorkloadFacts } from './workload.ts';
import { ownerOfAddress, sameFacts, samePorts } from './workload.ts';

/** What an address and a port lead to. */
export type Destination =
  /** Inside the cluster's networks, and no object has the address (yet). */
  | { readonly kind: 'unknown' }
  /** Nothing of the cluster, or an address of a node. */
  | { readonly kind: 'external' }
  | { readonly kind: 'workload'; readonly workload: WorkloadFacts }
  | {
      readonly kind: 'service';
      readonly service: ServiceFacts;
      /** By address and port. */
      readonly endpoints: ReadonlyMap<string, Endpoint>;
    };

/** What a client has to know of a service and one of its ports. */
export interface ServiceFacts {
  readonly namespace: string;
  readonly name: string;
  /** Empty where the port has no name, or where the service has no such port; then it has no endpoints either. */
  readonly portName: string;
  readonly appProtocol: string;
  readonly opaquePorts: readonly PortRange[];
}

/** The model as a look-up sees it. */
export interface MeshView {
  /** All pods, of whatever state, that have the address. */
  podsAt(address: string): Iterable<Workload>;
  serviceAt(address: string): Service | undefined;
  slicesOf(service: Service): Iterable<SourceEndpointSlice>;
}

/** @param address in the form of formatAddress */
export function lookUp(
  view: MeshView,
  clusterNetworks: readonly Network[],
  address: string,
  port: number,
): Destination {
  const service = view.serviceAt(address);
  if (service !== undefined) return servicePort(view, service, address, port);
  const pods = [...view.podsAt(address)];
  const workload = ownerOfAddress(pods);
  if (workload !== undefined) return { kind: 'workload', workload };
  if (pods.some((pod) => pod.hostNetwork && !pod.terminal)) return { kind: 'external' };
  return { kind: isInside(clusterNetworks, parseAddress(address)) ? 'unknown' : 'external' };
}

function servicePort(view: MeshView, service: Service, address: string, port: number): Destination {
  const { namespace, name, opaquePorts } = service;
  const found = service.ports.find((one) => one.port === port);
  return {
    kind: 'service',
    service: {
      namespace,
      name,
      portName: found?.name ?? '',
      appProtocol: found?.appProtocol ?? '',
      opaquePorts: includesPort(opaquePorts, port) ? [[port, port]] : [],
    },
    endpoints:
      found === undefined
        ? new Map()
        : compileEndpoints(found.name, familyOf(address), view.slicesOf(service), (endpoint) =>
            ownerOfAddress(view.podsAt(endpoint)),
          ),
  };
}

function isInside(networks: readonly Network[], address: Address): boolean {
  return networks.some((network) => isInNetwork(network, address));
}

/** Whether two are one but for the endpoints. */
export function sameHead(a: Destination, b: Destination): boolean {
  switch (a.kind) {
    case 'workload':
      return b.kind === 'workload' && sameFacts(a.workload, b.workload);
    case 'service':
      return b.kind === 'service' && sameService(a.service, b.service);
    default:
      return a.kind === b.kind;
  }
}

function sameService(a: ServiceFacts, b: ServiceFacts): boolean {
  return (
    a.namespace === b.namespace &&
    a.name === b.name &&
    a.portName === b.portName &&
    a.appProtocol === b.appProtocol &&
    samePorts(a.opaquePorts, b.opaquePorts)
  );
}
