/** From the messages of the schema to the model. */
import type { Destination } from '../../../mesh/destination.ts';
import type { Owner } from '../../../mesh/owner.ts';
import { readOwnerKind } from '../../../mesh/owner.ts';
import type { Endpoint } from '../../../mesh/service.ts';
import { addressKey } from '../../../mesh/service.ts';
import type { PortRange } from '../../../mesh/skips.ts';
import type { OwnWorkload, WorkloadFacts } from '../../../mesh/workload.ts';
import { rememberMeshed } from '../../../mesh/workload.ts';
import type * as messages from '../../../control-plane/gen/weft/v1/directory_pb.ts';

/** What is known after news of a destination. */
export function applyDelta(before: Destination | undefined, delta: messages.DestinationDelta): Destination {
  const { destination } = delta;
  switch (destination.case) {
    case 'workload': {
      const known = before?.kind === 'workload' ? before.workload : undefined;
      const workload = rememberMeshed(known, readWorkload(destination.value));
      const { target } = delta;
      return { kind: 'workload', workload, ...(target && { target: { address: target.address, port: target.port } }) };
    }
    case 'service': {
      const { namespace, name, portName, appProtocol, sessionAffinity, nodeLocal } = destination.value;
      const opaquePorts = readPorts(destination.value.opaquePorts);
      const service = { namespace, name, portName, appProtocol, opaquePorts, sessionAffinity, nodeLocal };
      return { kind: 'service', service, endpoints: applyEndpoints(before, delta) };
    }
    case 'external':
      return { kind: 'external' };
    default:
      return { kind: 'unknown' };
  }
}

function applyEndpoints(before: Destination | undefined, delta: messages.DestinationDelta): Map<string, Endpoint> {
  const known = before?.kind === 'service' ? before.endpoints : new Map<string, Endpoint>();
  const endpoints = new Map(delta.full ? [] : known);
  for (const { address, port } of delta.removedEndpoints) endpoints.delete(addressKey(address, port));
  for (const { address, port, ready, serving, terminating, node, zone, workload } of delta.upserts) {
    const key = addressKey(address, port);
    const facts = workload && rememberMeshed(known.get(key)?.workload, readWorkload(workload));
    endpoints.set(key, { address, port, ready, serving, terminating, node, zone, workload: facts });
  }
  return endpoints;
}

export function readOwnWorkload(message: messages.OwnWorkload): OwnWorkload | undefined {
  if (message.workload === undefined) return undefined;
  return {
    ...readWorkload(message.workload),
    addresses: message.addresses,
    phase: message.phase,
    containerPorts: message.containerPorts,
    configuration: message.configuration,
    unwantedReason: message.unwantedReason,
  };
}

function readWorkload(message: messages.Workload): WorkloadFacts {
  const { uid, namespace, name, node, serviceAccount, identity, wanted, meshed, opaquePorts, skippedPorts } = message;
  return {
    uid,
    namespace,
    name,
    node,
    serviceAccount,
    owner: readOwner(message),
    templateHash: message.templateHash,
    identity,
    wanted,
    meshed,
    opaquePorts: readPorts(opaquePorts),
    skippedPorts: readPorts(skippedPorts),
  };
}

/** Undefined also of a kind that a newer controller knows. */
function readOwner({ ownerKind, ownerName }: messages.Workload): Owner | undefined {
  const kind = readOwnerKind(ownerKind);
  return kind && { kind, name: ownerName };
}

function readPorts(ranges: readonly messages.PortRange[]): PortRange[] {
  return ranges.map(({ first, last }) => [first, last]);
}
