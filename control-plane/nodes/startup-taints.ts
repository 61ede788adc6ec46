import { startupTaint } from '../../mesh/startup-taint.ts';
import type { SourcePod } from '../../mesh/objects.ts';
import { MultiMap } from '../multi-map.ts';
import type { Delta } from '../sources/source.ts';

/** How the pods of agents are known. */
export interface AgentPods {
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** Which nodes bear the start-up taint, and where their agents are ready. */
export class StartupTaints {
  readonly #agents: AgentPods;
  /** Places of the taint among those of the node, by its name. */
  readonly #tainted = new Map<string, readonly number[]>();
  /** Uids of agents that are ready, by node. */
  readonly #ready = new MultiMap<string, string>();

  constructor(agents: AgentPods) {
    this.#agents = agents;
  }

  /** @returns whether nodes or agents were among them */
  apply(deltas: readonly Delta[]): boolean {
    let isNews = false;
    for (const { type, object } of deltas) {
      const exists = type === 'upsert';
      if (object.kind === 'Node') this.#applyNode(exists, object.value.name, object.value.taints);
      else if (object.kind === 'Pod' && this.#isAgent(object.value)) this.#applyAgent(exists, object.value);
      else continue;
      isNews = true;
    }
    return isNews;
  }

  /** By node: the places of the taint where it is to be lifted. */
  liftable(): ReadonlyMap<string, readonly number[]> {
    return new Map([...this.#tainted].filter(([node]) => this.#ready.get(node).size > 0));
  }

  /** Before the source tells of it. */
  forget(node: string): void {
    this.#tainted.delete(node);
  }

  #isAgent({ namespace, serviceAccount }: SourcePod): boolean {
    return namespace === this.#agents.namespace && serviceAccount === this.#agents.serviceAccount;
  }

  #applyNode(exists: boolean, name: string, taints: readonly string[]): void {
    const places = exists ? taints.flatMap((key, place) => (key === startupTaint ? [place] : [])) : [];
    if (places.length > 0) this.#tainted.set(name, places);
    else this.#tainted.delete(name);
  }

  #applyAgent(exists: boolean, { nodeName, uid, ready, deleting }: SourcePod): void {
    if (exists && ready && !deleting) this.#ready.add(nodeName, uid);
    else this.#ready.delete(nodeName, uid);
  }
}
