import type { SourceNode } from '../mesh/objects.ts';
import type { Service } from '../mesh/service.ts';
import type { Workload } from '../mesh/workload.ts';
import { MultiMap } from './multi-map.ts';

/** Which services and pods the ports of the cluster's nodes lead to (NodePort, hostPort), by their keys and uids. */
export class NodePorts {
  readonly #nodes = new Map<string, readonly string[]>();
  readonly #nodesAt = new MultiMap<string, string>();
  readonly #services = new MultiMap<number, string>();
  readonly #pods = new MultiMap<string, string>();

  /** @returns the addresses that it has or had */
  setNode({ name, addresses }: SourceNode, exists: boolean): readonly string[] {
    const before = this.#nodes.get(name) ?? [];
    for (const address of before) this.#nodesAt.delete(address, name);
    if (exists) this.#nodes.set(name, addresses);
    else this.#nodes.delete(name);
    if (exists) for (const address of addresses) this.#nodesAt.add(address, name);
    return [...before, ...addresses];
  }

  addService(key: string, service: Service): void {
    for (const port of nodePortsOf(service)) this.#services.add(port, key);
  }

  deleteService(key: string, service: Service): void {
    for (const port of nodePortsOf(service)) this.#services.delete(port, key);
  }

  addPod({ node, uid, hostPorts }: Workload): void {
    for (const { port } of hostPorts) this.#pods.add(`${node} ${port}`, uid);
  }

  deletePod({ node, uid, hostPorts }: Workload): void {
    for (const { port } of hostPorts) this.#pods.delete(`${node} ${port}`, uid);
  }

  /** Of all nodes where a service has such a port, else none. */
  addressesOfService(service: Service): Iterable<string> {
    return nodePortsOf(service).length === 0 ? [] : [...this.#nodes.values()].flat();
  }

  /** Of its node where the pod has such a port, else none. */
  addressesOfPod({ node, hostPorts }: Workload): readonly string[] {
    return hostPorts.length === 0 ? [] : (this.#nodes.get(node) ?? []);
  }

  isNode(address: string): boolean {
    return this.#nodesAt.get(address).size > 0;
  }

  servicesAt(address: string, port: number): ReadonlySet<string> {
    return this.#services.get(this.isNode(address) ? port : 0); // none has port 0
  }

  podsAt(address: string, port: number): string[] {
    return [...this.#nodesAt.get(address)].flatMap((node) => [...this.#pods.get(`${node} ${port}`)]);
  }
}

function nodePortsOf({ ports }: Service): number[] {
  return ports.map(({ nodePort }) => nodePort).filter((port) => port !== 0);
}
