import { setTimeout as delay } from 'node:timers/promises';

import type { Destination, ServiceFacts } from '../../mesh/destination.ts';
import { defaultOpaquePorts, includesPort } from '../../mesh/opaque-ports.ts';
import { protocolOf } from '../../mesh/protocol.ts';
import type { Endpoint } from '../../mesh/service.ts';
import { addressKey } from '../../mesh/service.ts';
import type { OwnWorkload, WorkloadFacts } from '../../mesh/workload.ts';
import type { DestinationMessage, EndpointMessage, MessageToWorker } from '../worker/messages.ts';
import type { DirectoryClient } from './directory/directory-client.ts';
import type { EnrolledPod, EnrolledPods } from './enrolled-pods.ts';

/** Agents acknowledge when they have passed the news on to their workers, which read it in their next turn. */
const workersHearMs = 250;

/** Later nobody asks when a source has changed. */
const recentMs = 60_000;

export interface MeshLinkDependencies {
  readonly nodeName: string;
  readonly pods: EnrolledPods;
  readonly directory: Pick<DirectoryClient, 'workloads' | 'lookUp' | 'joined' | 'leave'>;
  /** Which certificates are needed. */
  readonly wantIdentities: (identities: ReadonlySet<string>) => void;
  readonly tellWorkers: (message: MessageToWorker) => void;
}

/** Puts together what the directory says and what is captured on this node, in the form that workers decide by. */
export class MeshLink {
  readonly #with: MeshLinkDependencies;
  /** What workers have been told, by address and port. */
  readonly #told = new Map<string, { readonly address: string; readonly port: number; destination: Destination }>();
  /** Uids of pods that peers know as meshed, and when they were told. */
  readonly #announced = new Map<string, number>();

  /** Of sources, by address: what they were last, and since when. */
  readonly #sources = new Map<string, { readonly state: string; readonly since: number }>();

  #hasAdopted = false;

  constructor(dependencies: MeshLinkDependencies) {
    this.#with = dependencies;
  }

  /** All that a worker has to know before it decides on anything. */
  greetings(): MessageToWorker[] {
    const pods = this.#with.pods.values();
    return [
      ...pods.map((pod) => this.describe(pod)),
      ...pods.map((pod) => this.#announcement(pod)),
      ...[...this.#told.values()].map((told) => this.#compile(told.address, told.port, told.destination)),
    ];
  }

  describe(pod: EnrolledPod): MessageToWorker {
    const workload = this.#with.directory.workloads.get(pod.uid);
    return {
      type: 'pod',
      pod: pod.id,
      namespace: pod.namespace,
      name: pod.name,
      owner: workload?.owner,
      identity: workload?.identity ?? '',
      opaquePorts: workload?.opaquePorts ?? [],
      skippedPorts: pod.skips.inboundPorts,
      skippedClients: pod.skips.subnets,
    };
  }

  /** A worker has connections that wait for this. */
  resolve(address: string, port: number): void {
    const destination = this.#with.directory.lookUp(address, port);
    if (destination !== undefined) this.learn(address, port, destination);
  }

  /** News of the directory. */
  learn(address: string, port: number, destination: Destination): void {
    this.#told.set(addressKey(address, port), { address, port, destination });
    if (port === 0) this.#noteSource(address, destination);
    this.#with.tellWorkers(this.#compile(address, port, destination));
  }

  forget(address: string, port: number): void {
    this.#told.delete(addressKey(address, port));
    if (port === 0) this.#sources.delete(address);
    this.#with.tellWorkers({ type: 'forget-destination', address, port });
  }

  /** The directory's word on this node's own pods. */
  learnWorkloads(workloads: ReadonlyMap<string, OwnWorkload>): void {
    const enrolled = this.#with.pods.values();
    for (const pod of enrolled) this.#with.tellWorkers(this.describe(pod));
    const identities = enrolled.map(({ uid }) => workloads.get(uid)?.identity ?? '').filter((name) => name !== '');
    this.#with.wantIdentities(new Set(identities));
  }

  /** All pods of this node that an earlier agent captured are captured again; until then nobody can say of a pod that it is not. */
  adopted(): void {
    this.#hasAdopted = true;
    for (const pod of this.#with.pods.values()) this.joined(pod);
    for (const { address, port, destination } of this.#told.values())
      this.#with.tellWorkers(this.#compile(address, port, destination));
  }

  /** The pod's capture has proven itself: peers may rely on it. */
  joined(pod: EnrolledPod): void {
    this.#announced.set(pod.uid, performance.now());
    this.#with.directory.joined(pod.uid);
    this.learnWorkloads(this.#with.directory.workloads);
    this.#with.tellWorkers(this.#announcement(pod));
    this.#tellAgain(pod.uid);
  }

  /** Resolves when no peer relies on the pod any more, or a deadline has passed; its capture may end then. */
  async leave(pod: EnrolledPod): Promise<void> {
    if (!this.#announced.delete(pod.uid)) return;
    this.#with.tellWorkers(this.#announcement(pod));
    await this.#with.directory.leave(pod.uid);
    await delay(workersHearMs);
  }

  /** Its capture has ended. */
  left(pod: EnrolledPod): void {
    if (this.#announced.delete(pod.uid)) void this.#with.directory.leave(pod.uid);
    this.#tellAgain(pod.uid);
    this.learnWorkloads(this.#with.directory.workloads);
  }

  #announcement(pod: EnrolledPod): MessageToWorker {
    const since = this.#announced.get(pod.uid);
    const announcedMs = since === undefined ? undefined : performance.now() - since;
    return { type: 'announced', pod: pod.id, announcedMs };
  }

  /** Where it is an endpoint of: on this node it is reached another way while it is captured. */
  #tellAgain(uid: string): void {
    for (const { address, port, destination } of this.#told.values()) {
      if (workloadsOf(destination).some((workload) => workload.uid === uid))
        this.#with.tellWorkers(this.#compile(address, port, destination));
    }
  }

  #compile(address: string, port: number, destination: Destination): DestinationMessage {
    return { type: 'destination', address, port, destination: this.#reachable(address, port, destination) };
  }

  #reachable(address: string, port: number, destination: Destination): DestinationMessage['destination'] {
    switch (destination.kind) {
      case 'workload': {
        const { workload, target = { address, port } } = destination;
        return {
          kind: 'endpoints',
          protocol: protocolOf('', includesPort(workload.opaquePorts, target.port)),
          endpoints: [this.#endpoint(target.address, target.port, workload)],
          ...this.#changeOf(address, port),
        };
      }
      case 'service': {
        const { namespace, name, sessionAffinity, nodeLocal } = destination.service;
        const all = [...destination.endpoints.values()];
        const endpoints = usable(nodeLocal ? all.filter(({ node }) => node === this.#with.nodeName) : all);
        return {
          kind: 'endpoints',
          protocol: protocolOf(destination.service.appProtocol, isOpaque(destination.service, port, endpoints)),
          endpoints: endpoints.map((one) => this.#endpoint(one.address, one.port, one.workload, one.zone)),
          ...(sessionAffinity && { sessionAffinity }),
          service: { namespace, name },
        };
      }
      case 'external':
        return { kind: 'external', protocol: protocolOf('', includesPort(defaultOpaquePorts, port)) };
      case 'unknown':
        return { kind: 'unknown' };
    }
  }

  #noteSource(address: string, destination: Destination): void {
    if (destination.kind !== 'workload') {
      this.#sources.delete(address);
      return;
    }
    const { uid, wanted, meshed = false } = destination.workload;
    const state = `${uid} ${wanted} ${meshed}`;
    const known = this.#sources.get(address);
    if (known?.state === state) return;
    const isChange = known !== undefined || wanted !== meshed;
    this.#sources.set(address, { state, since: isChange ? performance.now() : -Infinity });
  }

  #changeOf(address: string, port: number): { changedMs?: number } {
    const source = port === 0 ? this.#sources.get(address) : undefined;
    const changedMs = performance.now() - (source?.since ?? -Infinity);
    return changedMs < recentMs ? { changedMs } : {};
  }

  #endpoint(address: string, port: number, workload: WorkloadFacts | undefined, zone = ''): EndpointMessage {
    if (workload === undefined) return { address, port, meshed: false, identity: '', uid: '', localPod: 0 };
    const { identity, uid, namespace, name, serviceAccount, owner, templateHash } = workload;
    const isOurs = workload.node === this.#with.nodeName;
    const local = isOurs ? this.#with.pods.get(uid) : undefined;
    // Of our own pods we know best, and workers know what they skip.
    const meshed = isOurs ? this.#isCaptured(local) : isMeshed(workload, port);
    const names = { namespace, pod: name, serviceAccount, owner, templateHash, zone };
    return { address, port, meshed, identity, uid, localPod: local?.id ?? 0, names };
  }

  #isCaptured(local: EnrolledPod | undefined): boolean | undefined {
    if (local !== undefined) return true;
    return this.#hasAdopted ? false : undefined;
  }
}

/** Undefined while nobody has said. */
function isMeshed({ wanted, meshed, skippedPorts }: WorkloadFacts, port: number): boolean | undefined {
  if (includesPort(skippedPorts, port)) return false;
  return wanted ? meshed : (meshed ?? false);
}

/** Those that are ready; without any, those that still serve (as kube-proxy does). */
function usable(endpoints: readonly Endpoint[]): readonly Endpoint[] {
  const ready = endpoints.filter((endpoint) => endpoint.ready);
  return ready.length > 0 ? ready : endpoints.filter((endpoint) => endpoint.serving);
}

/** A server that speaks first must not be kept waiting: one pod that says so is enough. */
function isOpaque({ opaquePorts }: ServiceFacts, port: number, endpoints: readonly Endpoint[]): boolean {
  return (
    includesPort(opaquePorts, port) ||
    endpoints.some((one) => one.workload !== undefined && includesPort(one.workload.opaquePorts, one.port))
  );
}

function workloadsOf(destination: Destination): WorkloadFacts[] {
  if (destination.kind === 'workload') return [destination.workload];
  if (destination.kind !== 'service') return [];
  return [...destination.endpoints.values()].flatMap(({ workload }) => workload ?? []);
}
