import type { Address } from '../../../mesh/address.ts';
import type { Labels } from '../../metrics/series-sets.ts';
import type { Protection } from '../connection-metrics.ts';
import { protections } from '../connection-metrics.ts';
import type { Destination } from '../destinations.ts';
import type { EndpointNames, ServiceName } from '../messages.ts';
import { namesOf, podLabels, targetOf } from '../labels.ts';
import type { WorkerPod } from '../pods.ts';

/** Of a request on its way out of a pod. */
export interface OutboundTarget {
  readonly address: Address;
  readonly port: number;
  readonly protection: Protection;
  /** Empty where the peer has none. */
  readonly identity: string;
  readonly names: EndpointNames | undefined;
  readonly service: ServiceName | undefined;
}

/** Of request_total and the like. */
export function outboundLabels(pod: WorkerPod, authority: string, target: OutboundTarget): Labels {
  const { names, service } = target;
  return {
    direction: 'outbound',
    ...podLabels(pod),
    authority,
    ...targetOf(target.address, target.port),
    ...protections[target.protection],
    server_id: target.identity,
    ...(names !== undefined && namesOf(names)),
    ...(service !== undefined && { dst_service: service.name }),
  };
}

/** Without the authority, which a client may choose: as Linkerd. */
export function inboundLabels(
  pod: WorkerPod,
  target: { readonly address: Address; readonly port: number },
  protection: Protection,
  client: string,
): Labels {
  return {
    direction: 'inbound',
    ...podLabels(pod),
    ...targetOf(target.address, target.port),
    ...protections[protection],
    client_id: client,
  };
}

/** Of the families by route, which Linkerd has by these names where there are neither policies nor routes. */
export function inboundRouteLabels(pod: WorkerPod, port: number): Labels {
  return {
    ...podLabels(pod),
    parent_kind: 'default',
    parent_name: 'all-unauthenticated',
    parent_port: `${port}`,
    route_kind: 'default',
    route_name: 'default',
  };
}

export function outboundRouteLabels(pod: WorkerPod, destination: Destination | undefined, port: number): Labels {
  return {
    ...podLabels(pod),
    ...reference('parent', destination, port),
    route_kind: 'default',
    route_name: 'http',
    ...reference('backend', destination, port),
  };
}

function reference(role: 'parent' | 'backend', destination: Destination | undefined, port: number): Labels {
  const service = destination?.kind === 'endpoints' ? destination.service : undefined;
  if (service !== undefined)
    return {
      [`${role}_group`]: 'core',
      [`${role}_kind`]: 'Service',
      [`${role}_namespace`]: service.namespace,
      [`${role}_name`]: service.name,
      [`${role}_port`]: `${port}`,
    };
  const name = destination?.kind === 'endpoints' ? 'endpoint' : 'egress-fallback';
  return { [`${role}_kind`]: 'default', [`${role}_name`]: name, [`${role}_port`]: `${port}` };
}

/** With what the directory says of the destination. */
export function serviceOf(destination: Destination | undefined): ServiceName | undefined {
  return destination?.kind === 'endpoints' ? destination.service : undefined;
}
