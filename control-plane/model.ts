import { isDeepStrictEqual } from 'node:util';

import type { MeshView } from '../mesh/destination.ts';
import type { SourceEndpointSlice, SourceNamespace, SourceObject, SourcePod } from '../mesh/objects.ts';
import type { OptedInNamespace } from '../mesh/namespace.ts';
import { compileNamespace, sameNamespace } from '../mesh/namespace.ts';
import { objectKey } from '../mesh/objects.ts';
import type { Service } from '../mesh/service.ts';
import { compileService } from '../mesh/service.ts';
import type { Workload, WorkloadRules } from '../mesh/workload.ts';
import { compileWorkload } from '../mesh/workload.ts';
import { MultiMap } from './multi-map.ts';
import { NodePorts } from './node-ports.ts';
import type { Delta } from './sources/source.ts';

export interface ModelChange {
  /** Counts the changes of this process, from 1. */
  readonly version: number;
  /** By uid, as they were and as they are. */
  readonly workloads: ReadonlyMap<
    string,
    { readonly before: Workload | undefined; readonly now: Workload | undefined }
  >;
  /** What they lead to may have changed. */
  readonly addresses: ReadonlySet<string>;
  /** By name; undefined where it is not opted in any more. */
  readonly namespaces: ReadonlyMap<string, OptedInNamespace | undefined>;
}

interface MutableChange {
  readonly workloads: Map<string, { readonly before: Workload | undefined; readonly now: Workload | undefined }>;
  readonly addresses: Set<string>;
  readonly namespaces: Map<string, OptedInNamespace | undefined>;
}

function nothingChanged(): MutableChange {
  return { workloads: new Map(), addresses: new Set(), namespaces: new Map() };
}

/** The mesh as the objects and the agents' reports tell it, with the indexes that look-ups need. */
export class Model implements MeshView {
  readonly #rules: WorkloadRules;
  readonly #namespaces = new Map<string, SourceNamespace>();
  readonly #optedIn = new Map<string, OptedInNamespace>();
  readonly #pods = new Map<string, SourcePod>();
  readonly #podsOfNamespace = new MultiMap<string, string>();
  readonly #workloads = new Map<string, Workload>();
  readonly #workloadsOfNode = new MultiMap<string, string>();
  readonly #workloadsAt = new MultiMap<string, string>();
  readonly #services = new Map<string, Service>();
  readonly #servicesAt = new MultiMap<string, string>();
  readonly #slices = new Map<string, SourceEndpointSlice>();
  readonly #slicesOfService = new MultiMap<string, string>();
  /** Services by the addresses of their endpoints. */
  readonly #servicesBehind = new MultiMap<string, string>();
  readonly #nodePorts = new NodePorts();
  readonly #captured = new Map<string, Set<string>>();
  readonly #listeners: ((change: ModelChange) => void)[] = [];
  #version = 1; // 0 stands for knowing nothing

  constructor(rules: WorkloadRules) {
    this.#rules = rules;
  }

  get version(): number {
    return this.#version;
  }

  onChange(listener: (change: ModelChange) => void): void {
    this.#listeners.push(listener);
  }

  apply(deltas: readonly Delta[]): void {
    const change = nothingChanged();
    for (const { type, object } of deltas) this.#applyOne(type === 'upsert', object, change);
    this.#publish(change);
  }

  /** @returns the version of a change that is in no object and in no report */
  advance(): number {
    this.#version++;
    return this.#version;
  }

  /** All that the node's agent captures now. */
  reportNode(node: string, uids: Iterable<string>): void {
    this.#captured.set(node, new Set(uids));
    const change = nothingChanged();
    for (const uid of [...this.#workloadsOfNode.get(node)]) this.#compile(uid, change); // which takes them out and in again
    this.#publish(change);
  }

  /**
   * After reportNode, as one workload tells nothing of the others. Of a workload that is not known yet it counts as soon as it is, and
   * only if it runs on that node.
   */
  report(node: string, uid: string, meshed: boolean): void {
    const captured = this.#captured.get(node);
    if (captured === undefined) return;
    if (meshed) captured.add(uid);
    else captured.delete(uid);
    const change = nothingChanged();
    this.#compile(uid, change);
    this.#publish(change);
  }

  hasReported(node: string): boolean {
    return this.#captured.has(node);
  }

  capturedBy(node: string): ReadonlySet<string> {
    return this.#captured.get(node) ?? new Set();
  }

  workload(uid: string): Workload | undefined {
    return this.#workloads.get(uid);
  }

  optedInNamespaces(): Iterable<OptedInNamespace> {
    return this.#optedIn.values();
  }

  get size(): number {
    return this.#workloads.size;
  }

  workloadsOf(node: string): Workload[] {
    return this.#existing(this.#workloadsOfNode.get(node));
  }

  /** Its own addresses, and those of the services that lead to it. */
  addressesOf(workload: Workload): Set<string> {
    const change = nothingChanged();
    for (const address of workload.addresses) this.#touch(address, change);
    this.#touchHostPorts(workload, change);
    return change.addresses;
  }

  podsAt(address: string): Workload[] {
    return this.#existing(this.#workloadsAt.get(address));
  }

  /** Of several, which only a mistake can make, always the same. */
  serviceAt(address: string): Service | undefined {
    return this.#firstService(this.#servicesAt.get(address));
  }

  isNode(address: string): boolean {
    return this.#nodePorts.isNode(address);
  }

  serviceAtNode(address: string, port: number): Service | undefined {
    return this.#firstService(this.#nodePorts.servicesAt(address, port));
  }

  podsAtNode(address: string, port: number): Workload[] {
    return this.#existing(this.#nodePorts.podsAt(address, port));
  }

  slicesOf(service: Service): SourceEndpointSlice[] {
    const keys = [...this.#slicesOfService.get(`${service.namespace}/${service.name}`)].sort();
    return keys.map((key) => this.#slices.get(key)).filter((slice) => slice !== undefined);
  }

  #firstService(keys: ReadonlySet<string>): Service | undefined {
    if (keys.size === 0) return undefined;
    return this.#services.get([...keys].reduce((a, b) => (a < b ? a : b)));
  }

  #existing(uids: Iterable<string>): Workload[] {
    return [...uids].map((uid) => this.#workloads.get(uid)).filter((workload) => workload !== undefined);
  }

  #applyOne(exists: boolean, object: SourceObject, change: MutableChange): void {
    switch (object.kind) {
      case 'Namespace':
        this.#applyNamespace(exists, object.value, change);
        break;
      case 'Pod':
        this.#applyPod(exists, object.value, change);
        break;
      case 'Service':
        this.#applyService(exists, compileService(object.value), change);
        break;
      case 'EndpointSlice':
        this.#applySlice(exists, objectKey(object), object.value, change);
        break;
      case 'Node':
        for (const address of this.#nodePorts.setNode(object.value, exists)) change.addresses.add(address);
        break;
      case 'ServiceAccount': // pods say all that is asked so far
    }
  }

  #applyNamespace(exists: boolean, namespace: SourceNamespace, change: MutableChange): void {
    const { name } = namespace;
    if (exists) this.#namespaces.set(name, namespace);
    else this.#namespaces.delete(name);
    for (const uid of this.#podsOfNamespace.get(name)) this.#compile(uid, change);
    const optedIn = exists ? compileNamespace(namespace, this.#rules.ownNamespace) : undefined;
    if (sameNamespace(this.#optedIn.get(name), optedIn)) return;
    if (optedIn === undefined) this.#optedIn.delete(name);
    else this.#optedIn.set(name, optedIn);
    change.namespaces.set(name, optedIn);
  }

  #applyPod(exists: boolean, pod: SourcePod, change: MutableChange): void {
    const before = this.#pods.get(pod.uid);
    if (exists && before !== undefined && isDeepStrictEqual({ ...before, ready: pod.ready }, pod)) return; // slices tell that
    if (before !== undefined) this.#podsOfNamespace.delete(before.namespace, pod.uid);
    if (exists) {
      this.#pods.set(pod.uid, pod);
      this.#podsOfNamespace.add(pod.namespace, pod.uid);
    } else {
      this.#pods.delete(pod.uid);
      this.#captured.get(before?.nodeName ?? pod.nodeName)?.delete(pod.uid);
    }
    this.#compile(pod.uid, change);
  }

  #compile(uid: string, change: MutableChange): void {
    const before = this.#workloads.get(uid);
    const pod = this.#pods.get(uid);
    if (before === undefined && pod === undefined) return;
    if (before !== undefined) this.#unindex(before, change);
    const now = pod && compileWorkload(pod, this.#namespaces.get(pod.namespace), this.#isMeshed(pod), this.#rules);
    if (now === undefined) this.#workloads.delete(uid);
    else this.#index(now, change);
    change.workloads.set(uid, { before: change.workloads.get(uid)?.before ?? before, now });
  }

  #isMeshed(pod: SourcePod): boolean | undefined {
    return this.#captured.get(pod.nodeName)?.has(pod.uid);
  }

  #index(workload: Workload, change: MutableChange): void {
    this.#workloads.set(workload.uid, workload);
    this.#workloadsOfNode.add(workload.node, workload.uid);
    for (const address of workload.addresses) {
      this.#workloadsAt.add(address, workload.uid);
      this.#touch(address, change);
    }
    this.#nodePorts.addPod(workload);
    this.#touchHostPorts(workload, change);
  }

  #unindex(workload: Workload, change: MutableChange): void {
    this.#workloadsOfNode.delete(workload.node, workload.uid);
    for (const address of workload.addresses) {
      this.#workloadsAt.delete(address, workload.uid);
      this.#touch(address, change);
    }
    this.#nodePorts.deletePod(workload);
    this.#touchHostPorts(workload, change);
  }

  #touchHostPorts(workload: Workload, change: MutableChange): void {
    for (const address of this.#nodePorts.addressesOfPod(workload)) change.addresses.add(address);
  }

  /** An address, and the services that lead to it. */
  #touch(address: string, change: MutableChange): void {
    change.addresses.add(address);
    for (const key of this.#servicesBehind.get(address)) this.#touchService(key, change);
  }

  #touchService(key: string, change: MutableChange): void {
    const service = this.#services.get(key);
    if (service === undefined) return;
    for (const address of service.addresses) change.addresses.add(address);
    for (const address of this.#nodePorts.addressesOfService(service)) change.addresses.add(address);
  }

  #applyService(exists: boolean, service: Service, change: MutableChange): void {
    const key = `${service.namespace}/${service.name}`;
    this.#touchService(key, change);
    const before = this.#services.get(key);
    for (const address of before?.addresses ?? []) this.#servicesAt.delete(address, key);
    if (before !== undefined) this.#nodePorts.deleteService(key, before);
    if (!exists) {
      this.#services.delete(key);
      return;
    }
    this.#services.set(key, service);
    for (const address of service.addresses) this.#servicesAt.add(address, key);
    this.#nodePorts.addService(key, service);
    this.#touchService(key, change);
  }

  #applySlice(exists: boolean, key: string, slice: SourceEndpointSlice, change: MutableChange): void {
    const before = this.#slices.get(key);
    this.#slices.delete(key);
    if (before !== undefined) {
      const service = `${before.namespace}/${before.service}`;
      this.#slicesOfService.delete(service, key);
      const elsewhere = this.#addressesBehind(service);
      for (const address of addressesOf(before)) {
        if (!elsewhere.has(address)) this.#servicesBehind.delete(address, service);
      }
      this.#touchService(service, change);
    }
    if (!exists) return;
    const service = `${slice.namespace}/${slice.service}`;
    this.#slices.set(key, slice);
    this.#slicesOfService.add(service, key);
    for (const address of addressesOf(slice)) this.#servicesBehind.add(address, service);
    this.#touchService(service, change);
  }

  #addressesBehind(service: string): Set<string> {
    const slices = [...this.#slicesOfService.get(service)].map((key) => this.#slices.get(key));
    return new Set(slices.flatMap((slice) => (slice === undefined ? [] : addressesOf(slice))));
  }

  #publish(change: MutableChange): void {
    if (change.workloads.size + change.addresses.size + change.namespaces.size === 0) return;
    this.#version++;
    for (const listener of this.#listeners) listener({ version: this.#version, ...change });
  }
}

function addressesOf(slice: SourceEndpointSlice): string[] {
  return slice.endpoints.flatMap(({ addresses }) => addresses);
}
