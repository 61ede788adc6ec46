import type { SourceEndpointSlice, SourceService } from './objects.ts';
import { defaultOpaquePorts, parseOpaquePorts } from './opaque-ports.ts';
import type { PortRange } from './skips.ts';
import type { Workload, WorkloadFacts } from './workload.ts';
import { ownerOfAddress, sameFacts } from './workload.ts';

export interface Service {
  readonly namespace: string;
  readonly name: string;
  /** Those of the cluster; none of a headless service. */
  readonly addresses: readonly string[];
  /** TCP only. */
  readonly ports: readonly ServicePort[];
  /** Of the service's own port numbers. */
  readonly opaquePorts: readonly PortRange[];
  /** A client is always led to the same endpoint. */
  readonly sessionAffinity: boolean;
  /** Clients inside of the cluster reach endpoints of their own node only. */
  readonly nodeLocal: boolean;
}

export interface ServicePort {
  readonly name: string;
  readonly port: number;
  readonly targetPort: number | string;
  /** Of all nodes; 0: none. */
  readonly nodePort: number;
  readonly appProtocol: string;
}

export interface Endpoint {
  readonly address: string;
  readonly port: number;
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  readonly node: string;
  readonly zone: string;
  /** Undefined where no pod of the cluster's own network has the address. */
  readonly workload: WorkloadFacts | undefined;
}

export function compileService(service: SourceService): Service {
  return {
    namespace: service.namespace,
    name: service.name,
    addresses: service.addresses,
    ports: service.ports
      .filter(({ protocol }) => protocol === 'TCP')
      .map(({ name, port, targetPort, nodePort, appProtocol }) => ({ name, port, targetPort, nodePort, appProtocol })),
    opaquePorts: parseOpaquePorts(service.annotations) ?? defaultOpaquePorts,
    sessionAffinity: service.sessionAffinity,
    nodeLocal: service.nodeLocal,
  };
}

/**
 * The endpoints behind one port, by address and port, of the family by which the service was dialled, as with kube-proxy: an app may listen
 * on one of them only. While an endpoint moves from one slice to another it is in both; then the slice
 * in which it is ready counts. A pod's counts once the pod is known: slices may be heard of first, and whoever is there may be meshed.
 */
export function compileEndpoints(
  portName: string,
  family: 4 | 6,
  slices: Iterable<SourceEndpointSlice>,
  podsAt: (address: string) => Iterable<Workload>,
): ReadonlyMap<string, Endpoint> {
  const endpoints = new Map<string, Endpoint>();
  for (const slice of slices) {
    const port = slice.ports.find(({ name, protocol }) => name === portName && protocol === 'TCP')?.port;
    if (port === undefined) continue;
    for (const { addresses, ready, serving, terminating, isPod, nodeName, zone } of slice.endpoints) {
      const [address] = addresses; // the API says that the others are the same endpoint and that nobody uses them
      if (address === undefined || familyOf(address) !== family) continue;
      const key = addressKey(address, port);
      if (endpoints.get(key)?.ready === true) continue;
      const pods = [...podsAt(address)];
      const workload = ownerOfAddress(pods);
      if (isPod && workload === undefined && !pods.some(({ hostNetwork }) => hostNetwork)) continue;
      endpoints.set(key, { address, port, ready, serving, terminating, node: nodeName, zone, workload });
    }
  }
  return endpoints;
}

export function sameEndpoint(a: Endpoint, b: Endpoint): boolean {
  return (
    a.address === b.address &&
    a.port === b.port &&
    a.ready === b.ready &&
    a.serving === b.serving &&
    a.terminating === b.terminating &&
    a.node === b.node &&
    a.zone === b.zone &&
    sameFacts(a.workload, b.workload)
  );
}

export function familyOf(address: string): 4 | 6 {
  return address.includes(':') ? 6 : 4;
}

/** "10.0.0.1:80" or "[fd00::1]:80". */
export function addressKey(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
