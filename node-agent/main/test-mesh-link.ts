import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';

import type { Destination } from '../../mesh/destination.ts';
import type { Endpoint } from '../../mesh/service.ts';
import { addressKey } from '../../mesh/service.ts';
import type { OwnWorkload, WorkloadFacts } from '../../mesh/workload.ts';
import type { DestinationMessage, EndpointNames, MessageToWorker } from '../worker/messages.ts';
import type { EnrolledPod } from './enrolled-pods.ts';
import { EnrolledPods } from './enrolled-pods.ts';
import { MeshLink } from './mesh-link.ts';

const folder = mkdtempSync(join(tmpdir(), 'weft-mesh-link-'));
after(() => rmSync(folder, { recursive: true }));

export const made = { owner: { kind: 'deployment', name: 'shop' }, templateHash: '5d69b8d9c8' } as const;

export function workload(name: string, changed: Partial<WorkloadFacts> = {}): WorkloadFacts {
  return {
    uid: `uid-${name}`,
    namespace: 'shop',
    name,
    node: 'n2',
    serviceAccount: name,
    ...made,
    identity: `${name}.shop.mesh`,
    wanted: true,
    meshed: true,
    opaquePorts: [],
    skippedPorts: [],
    ...changed,
  };
}

export function ownWorkload(name: string, changed: Partial<OwnWorkload> = {}): OwnWorkload {
  return {
    ...workload(name, { node: 'n1', opaquePorts: [[3306, 3306]] }),
    addresses: [],
    phase: 'Running',
    containerPorts: [],
    configuration: {},
    unwantedReason: '',
    ...changed,
  };
}

export function enrolled(name: string, id: number): EnrolledPod {
  return {
    uid: `uid-${name}`,
    namespace: 'shop',
    name,
    id,
    cookie: BigInt(id),
    netnsPath: '',
    ipv4: undefined,
    ipv6: undefined,
    skips: { inboundPorts: [], outboundPorts: [], subnets: [] },
    ports: [],
    containerId: undefined,
  };
}

export function behind(facts: WorkloadFacts | undefined, changed: Partial<Endpoint> = {}): Endpoint {
  const address = '10.1.0.5';
  const flags = { ready: true, serving: true, terminating: false };
  return { address, port: 8080, ...flags, node: facts?.node ?? '', zone: '', workload: facts, ...changed };
}

export function service(...endpoints: Endpoint[]): Destination {
  const facts = {
    namespace: 'shop',
    name: 'db',
    portName: '',
    appProtocol: '',
    opaquePorts: [],
    sessionAffinity: false,
    nodeLocal: false,
  };
  const byKey = new Map(endpoints.map((one) => [addressKey(one.address, one.port), one]));
  return { kind: 'service', service: facts, endpoints: byKey };
}

/** Mesh link of the node n1, with a directory that knows what the test puts there. */
export class TestLink {
  readonly told: MessageToWorker[] = [];
  readonly reports: string[] = [];
  readonly wanted: string[][] = [];
  readonly workloads = new Map<string, OwnWorkload>();
  readonly known = new Map<string, Destination>();
  readonly pods = new EnrolledPods(join(folder, 'pods.json'));
  /** Resolves what is leaving. */
  readonly acknowledge: (() => void)[] = [];
  readonly link = new MeshLink({
    nodeName: 'n1',
    pods: this.pods,
    directory: {
      workloads: this.workloads,
      lookUp: (address, port) => this.known.get(addressKey(address, port)),
      joined: (uid) => this.reports.push(`joined ${uid}`),
      leave: (uid) => {
        this.reports.push(`leave ${uid}`);
        return new Promise((resolve) => this.acknowledge.push(() => resolve([])));
      },
    },
    wantIdentities: (identities) => this.wanted.push([...identities].sort()),
    tellWorkers: (message) => this.told.push(message),
  });

  constructor(options = { hasAdopted: true }) {
    if (options.hasAdopted) this.link.adopted();
  }

  /** As the agent does when a pod's capture has proven itself. */
  join(name: string, id: number): EnrolledPod {
    const pod = enrolled(name, id);
    this.pods.set(pod);
    this.told.push(this.link.describe(pod));
    this.link.joined(pod);
    return pod;
  }

  release(pod: EnrolledPod): void {
    this.pods.delete(pod.uid);
    this.link.left(pod);
  }

  /** Told since the last call. */
  news(): MessageToWorker[] {
    return this.told.splice(0);
  }

  newDestinations(): DestinationMessage['destination'][] {
    return this.news().flatMap((message) => (message.type === 'destination' ? [message.destination] : []));
  }
}

export function namesOf(name: string): EndpointNames {
  return { namespace: 'shop', pod: name, serviceAccount: name, ...made, zone: '' };
}

export const peer = {
  ...{ address: '10.1.0.5', port: 8080, identity: 'db.shop.mesh', uid: 'uid-db', localPod: 0 },
  names: namesOf('db'),
};
