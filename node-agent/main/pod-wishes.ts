import type { OwnWorkload } from '../../mesh/workload.ts';
import type { DirectoryClient } from './directory/directory-client.ts';

/** How a pod is to be in the mesh. */
export interface PodWish {
  /** Annotations that configure the mesh, the pod's over those of its namespace. */
  readonly configuration: Readonly<Record<string, string>>;
  /** containerPorts. */
  readonly ports: readonly number[];
}

export type KnownWorkloads = Pick<
  DirectoryClient,
  'workloads' | 'namespaces' | 'knowsWorkloads' | 'isCurrent' | 'isConnected'
>;

interface Waiter {
  readonly isOver: () => boolean;
  readonly resolve: () => void;
}

const defaultAnswerMs = 300; // of the 2 s after which the runtime's call fails

/** Which pods of this node are to be in the mesh, as the directory says; how, and what counts for pods that it does not list yet. */
export class PodWishes {
  readonly #directory: KnownWorkloads;
  readonly #lastOptedIn: ReadonlySet<string>;
  readonly #answerMs: number;
  readonly #listeners: (() => void)[] = [];
  readonly #waiters = new Set<Waiter>();
  #isLeaving = false;

  /** @param lastOptedIn namespaces that an earlier agent knew as opted in: they count while the directory knows none at all */
  constructor(directory: KnownWorkloads, lastOptedIn: readonly string[] = [], answerMs = defaultAnswerMs) {
    this.#directory = directory;
    this.#lastOptedIn = new Set(lastOptedIn);
    this.#answerMs = answerMs;
  }

  /** All pods of the node that are known, also those that are to stay outside. */
  get pods(): ReadonlyMap<string, OwnWorkload> {
    return this.#directory.workloads;
  }

  /** A controller has told it in this run. Before, addresses may be other pods' by now. */
  get isCurrent(): boolean {
    return this.#directory.isCurrent;
  }

  /** Undefined where the pod is to stay outside. */
  of(pod: { readonly uid: string; readonly namespace: string }): PodWish | undefined {
    if (this.#isLeaving) return undefined;
    const known = this.pods.get(pod.uid);
    if (known !== undefined)
      return known.wanted ? { configuration: known.configuration, ports: known.containerPorts } : undefined;
    const configuration = this.#directory.knowsWorkloads
      ? this.#directory.namespaces.get(pod.namespace)?.configuration
      : this.#lastOptedIn.has(pod.namespace)
        ? {}
        : undefined;
    return configuration && { configuration, ports: [] };
  }

  /** Sorted names; undefined while nothing is known. */
  optedInNamespaces(): readonly string[] | undefined {
    if (this.#isLeaving) return [];
    if (!this.#directory.knowsWorkloads) return undefined;
    return [...this.#directory.namespaces.keys()].sort();
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** From now on all pods of the node are to stay outside, whatever the directory says. */
  leave(): void {
    this.#isLeaving = true;
    this.changed();
  }

  /** The directory has news. */
  changed(): void {
    for (const listener of this.#listeners) listener();
    for (const { isOver, resolve } of this.#waiters) if (isOver()) resolve();
  }

  /** Gives the controller a moment to tell of a pod that the runtime knows already, as the pod may ask for other than its namespace. */
  async untilKnown(uid: string): Promise<void> {
    if (!this.#directory.isConnected) return;
    await this.#until(() => this.pods.has(uid), this.#answerMs);
  }

  /** Resolves when a controller has told what there is, or after the time. */
  async untilCurrent(milliseconds: number): Promise<void> {
    await this.#until(() => this.isCurrent, milliseconds);
  }

  async #until(isOver: () => boolean, milliseconds: number): Promise<void> {
    if (isOver()) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiter = { isOver, resolve };
    const timer = setTimeout(resolve, milliseconds);
    this.#waiters.add(waiter);
    await promise;
    clearTimeout(timer);
    this.#waiters.delete(waiter);
  }
}
