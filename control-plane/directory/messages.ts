/** From the model to the messages of the schema. */
import type { MessageInitShape } from '@bufbuild/protobuf';

import type { ServiceFacts } from '../../mesh/destination.ts';
import type { Endpoint } from '../../mesh/service.ts';
import type { OptedInNamespace } from '../../mesh/namespace.ts';
import type { PortRange } from '../../mesh/skips.ts';
import type { OwnWorkload, WorkloadFacts } from '../../mesh/workload.ts';
import type {
  EndpointSchema,
  NamespacesDeltaSchema,
  OwnWorkloadSchema,
  PortRangeSchema,
  ServiceSchema,
  WorkloadSchema,
} from '../gen/weft/v1/directory_pb.ts';
import type { VersionedDelta } from './versioned-map.ts';

export function workloadMessage(workload: WorkloadFacts): MessageInitShape<typeof WorkloadSchema> {
  const { uid, namespace, name, node, serviceAccount, identity, wanted, meshed, opaquePorts, skippedPorts } = workload;
  const { owner, templateHash } = workload;
  return {
    uid,
    namespace,
    name,
    node,
    serviceAccount,
    identity,
    wanted,
    ...(meshed === undefined ? {} : { meshed }),
    opaquePorts: portRanges(opaquePorts),
    skippedPorts: portRanges(skippedPorts),
    ...(owner !== undefined && { ownerKind: owner.kind, ownerName: owner.name }),
    templateHash,
  };
}

export function ownWorkloadMessage(workload: OwnWorkload): MessageInitShape<typeof OwnWorkloadSchema> {
  return {
    workload: workloadMessage(workload),
    addresses: [...workload.addresses],
    phase: workload.phase,
    containerPorts: [...workload.containerPorts],
    configuration: { ...workload.configuration },
    unwantedReason: workload.unwantedReason,
  };
}

export function namespacesMessage({
  full,
  upserts,
  removed,
}: VersionedDelta<OptedInNamespace>): MessageInitShape<typeof NamespacesDeltaSchema> {
  const namespaces = upserts.map(({ name, configuration }) => ({ name, configuration: { ...configuration } }));
  return { full, upserts: namespaces, removedNames: [...removed] };
}

export function serviceMessage(service: ServiceFacts): MessageInitShape<typeof ServiceSchema> {
  return { ...service, opaquePorts: portRanges(service.opaquePorts) };
}

export function endpointMessage(endpoint: Endpoint): MessageInitShape<typeof EndpointSchema> {
  const { workload, ...facts } = endpoint;
  return workload === undefined ? facts : { ...facts, workload: workloadMessage(workload) };
}

function portRanges(ranges: readonly PortRange[]): MessageInitShape<typeof PortRangeSchema>[] {
  return ranges.map(([first, last]) => ({ first, last }));
}
