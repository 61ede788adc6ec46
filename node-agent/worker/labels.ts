import type { Address } from '../../mesh/address.ts';
import { formatAddress } from '../../mesh/address.ts';
import { addressKey } from '../../mesh/service.ts';
import type { Labels } from '../metrics/series-sets.ts';
import type { EndpointNames } from './messages.ts';
import type { WorkerPod } from './pods.ts';

export function podLabels({ namespace, name, owner }: WorkerPod): Labels {
  return { namespace, pod: name, ...(owner !== undefined && { [owner.kind]: owner.name }) };
}

export function targetOf(address: Address, port: number): Labels {
  return { target_addr: addressKey(formatAddress(address), port) };
}

export function namesOf({ namespace, pod, serviceAccount, owner, templateHash, zone }: EndpointNames): Labels {
  return {
    dst_namespace: namespace,
    dst_pod: pod,
    dst_serviceaccount: serviceAccount,
    ...(owner !== undefined && { [`dst_${owner.kind}`]: owner.name }),
    dst_pod_template_hash: templateHash,
    dst_zone: zone,
  };
}
