import { judgeEnrolment } from '../../mesh/enrolment.ts';
import type { Skips } from '../../mesh/skips.ts';
import { parseSkips } from '../../mesh/skips.ts';
import { parseAddress } from '../../mesh/address.ts';
import { WeftError } from '../../mesh/errors.ts';
import type { EnrolledPod, EnrolledPods } from './enrolled-pods.ts';
import type { Enrolment } from './enrolment.ts';
import type { KeyedQueue } from './keyed-queue.ts';
import type { ObjectSource, SourceNamespace, SourcePod } from '../../mesh/objects.ts';
import type { NativeAddon } from './native.ts';
import type { NetnsFinder } from './netns-finder.ts';

/** What happens to a pod, as an operator wants to read it. */
export type PodEvent =
  | { readonly type: 'enrolled'; readonly pod: EnrolledPod; readonly found: 'at-start' | 'running' }
  | { readonly type: 'mended'; readonly pod: EnrolledPod }
  | { readonly type: 'released'; readonly pod: EnrolledPod; readonly reason: string }
  | { readonly type: 'not-meshable'; readonly pod: string; readonly error: WeftError };

export interface ReconcilerDependencies {
  readonly nodeName: string;
  readonly ownNamespace: string;
  readonly source: ObjectSource;
  readonly enrolment: Enrolment;
  readonly pods: EnrolledPods;
  readonly finder: NetnsFinder;
  readonly native: NativeAddon;
  readonly queue: KeyedQueue;
  /** Resolves when nobody relies on the pod's capture any more. */
  readonly beforeRelease: (pod: EnrolledPod) => Promise<void>;
  readonly onEvent: (event: PodEvent) => void;
}

/** Where a CNI call says that a pod's namespace is. */
export interface Sandbox {
  readonly netnsPath: string;
  readonly containerId: string;
  readonly addresses: readonly Uint8Array[];
}

const sweepIntervalMs = 1000;
const mendEverySweeps = 4;
// Each attempt captures the pod for a moment.
const firstRetryMs = 2000;
const longestRetryMs = 5 * 60_000;

interface Retry {
  readonly at: number;
  readonly afterMs: number;
}

/**
 * Brings what is captured to what the objects ask for. Everything that happens to one pod goes through one queue, so a CNI call and a
 * changed label never meet half way.
 */
export class Reconciler {
  readonly #with: ReconcilerDependencies;
  readonly #notMeshable = new Map<string, string>();
  readonly #retries = new Map<string, Retry>();
  #sweep: NodeJS.Timeout | undefined;

  constructor(dependencies: ReconcilerDependencies) {
    this.#with = dependencies;
  }

  start(signal: AbortSignal): void {
    this.#with.source.onChange(() => {
      this.#reconcile();
    });
    let sweeps = 0;
    this.#sweep = setInterval(() => {
      this.#reconcile();
      this.#mend(sweeps++);
    }, sweepIntervalMs);
    signal.addEventListener('abort', () => {
      clearInterval(this.#sweep);
    });
    this.#reconcile();
  }

  /** Namespaces whose pods are meshed unless they say otherwise. */
  optedInNamespaces(): string[] {
    const { source, ownNamespace } = this.#with;
    return [...source.snapshot().namespaces.values()]
      .filter((namespace) => judgeEnrolment(namespace, anyPodOf(namespace.name), ownNamespace).meshed)
      .map((namespace) => namespace.name)
      .sort();
  }

  /**
   * CNI ADD. Resolves once every SYN of the pod meets the agent; the proof follows, as some CNIs only let a pod's packets through
   * after ADD has returned. Resolves to false where the pod is not to be meshed.
   */
  async addSandbox(pod: { uid: string; namespace: string; name: string }, sandbox: Sandbox): Promise<boolean> {
    const wanted = this.#wanted(pod);
    if (wanted === undefined) return false;
    const enrolled = await this.#with.queue.run(pod.uid, async () => {
      const previous = this.#with.pods.get(pod.uid);
      if (previous !== undefined) this.#with.enrolment.release(previous);
      this.#sandboxGone.delete(pod.uid);
      const occupant = this.#with.enrolment.occupantOf({ ...pod, ...sandbox });
      if (occupant !== undefined) this.#release(occupant, 'its network namespace is of another pod');
      return this.#with.enrolment.enrol({ ...pod, ...sandbox, ...wanted });
    });
    void this.#with.queue.run(pod.uid, () => this.#prove(enrolled, 'at-start'));
    return true;
  }

  /** CNI DEL: only of the sandbox that is enrolled, as a successor with the same uid may be there already. */
  async deleteSandbox(uid: string, containerId: string, reason: string): Promise<void> {
    await this.#with.queue.run(uid, () => {
      const pod = this.#with.pods.get(uid);
      if (pod !== undefined && (pod.containerId === undefined || pod.containerId === containerId)) {
        this.#sandboxGone.add(uid);
        this.#release(pod, reason);
      }
      return Promise.resolve();
    });
  }

  #reconcile(): void {
    const { source, pods, queue, nodeName } = this.#with;
    const known = source.snapshot();
    for (const pod of known.pods.values()) {
      if (pod.nodeName !== nodeName) continue;
      const enrolled = pods.get(pod.uid);
      const wanted = this.#wanted(pod);
      if (wanted !== undefined && enrolled === undefined && pod.addresses.length > 0 && this.#mayTry(pod.uid)) {
        this.#enqueue(pod, () => this.#enrolRunning(pod));
      } else if (wanted === undefined && enrolled !== undefined) {
        this.#enqueue(pod, async () => {
          await this.#with.beforeRelease(enrolled);
          if (pods.get(pod.uid) === enrolled) this.#release(enrolled, 'it is not to be meshed any more');
        });
      } else if (wanted !== undefined && enrolled !== undefined && !sameSkips(wanted.skips, enrolled.skips)) {
        this.#enqueue(pod, () => {
          this.#with.enrolment.captureAgain(enrolled, wanted.skips);
          return Promise.resolve();
        });
      }
    }
    for (const uid of this.#sandboxGone) if (!known.pods.has(uid)) this.#sandboxGone.delete(uid);
    for (const uid of this.#retries.keys()) if (!known.pods.has(uid)) this.#forget(uid);
    for (const pod of pods.values()) {
      if (!this.#queued.has(pod.uid) && this.#with.enrolment.isNamespaceGone(pod)) {
        void queue.run(pod.uid, () => {
          if (pods.get(pod.uid) === pod) this.#release(pod, 'its network namespace is gone');
          return Promise.resolve();
        });
      }
    }
  }

  /** A part of the pods in each sweep: on a node with hundreds of them all at once would hold up everything else. */
  #mend(sweep: number): void {
    const { pods, enrolment, onEvent } = this.#with;
    for (const pod of pods.values()) {
      if (pod.id % mendEverySweeps !== sweep % mendEverySweeps) continue;
      try {
        const isMended = enrolment.mend(pod);
        if (this.#damaged.delete(pod.uid) || isMended) onEvent({ type: 'mended', pod });
      } catch (error) {
        if (this.#damaged.has(pod.uid)) continue;
        this.#damaged.add(pod.uid);
        onEvent({ type: 'not-meshable', pod: `${pod.namespace}/${pod.name}`, error: toWeftError(error) });
      }
    }
  }

  readonly #queued = new Set<string>();

  /** What could not be put back, and is told. */
  readonly #damaged = new Set<string>();

  /** Objects outlive their sandboxes, and the address in them may be another pod's by then. */
  readonly #sandboxGone = new Set<string>();

  #enqueue(pod: SourcePod, task: () => Promise<void>): void {
    if (this.#queued.has(pod.uid)) return;
    this.#queued.add(pod.uid);
    this.#with.queue
      .run(pod.uid, task)
      .catch((error: unknown) => {
        this.#retryLater(pod.uid);
        this.#reportNotMeshable(`${pod.namespace}/${pod.name}`, pod.uid, toWeftError(error));
      })
      .finally(() => this.#queued.delete(pod.uid))
      .catch(() => undefined);
  }

  async #enrolRunning(manifest: SourcePod): Promise<void> {
    const { pods, finder, native, enrolment } = this.#with;
    const wanted = this.#wanted(manifest);
    if (wanted === undefined || pods.get(manifest.uid) !== undefined) return;
    const addresses = manifest.addresses.map(parseAddress);
    const found = finder.find(manifest.uid, addresses);
    if (found === undefined) return; // Not made yet, or already gone: the next object or sweep tells.
    native.closeDescriptor(found.descriptor);
    const { uid, namespace, name } = manifest;
    const toEnrol = { uid, namespace, name, addresses, netnsPath: found.path, containerId: undefined, ...wanted };
    if (enrolment.occupantOf(toEnrol) !== undefined) return; // The address is another pod's by now.
    const pod = await enrolment.enrol(toEnrol);
    await this.#prove(pod, 'running');
  }

  async #prove(pod: EnrolledPod, found: 'at-start' | 'running'): Promise<void> {
    const { pods, enrolment, onEvent } = this.#with;
    if (pods.get(pod.uid) !== pod) return;
    const failure = await enrolment.prove(pod);
    if (pods.get(pod.uid) !== pod) return;
    if (failure === undefined) {
      this.#forget(pod.uid);
      onEvent({ type: 'enrolled', pod, found });
      return;
    }
    enrolment.release(pod);
    this.#retryLater(pod.uid);
    this.#reportNotMeshable(`${pod.namespace}/${pod.name}`, pod.uid, failure);
  }

  #release(pod: EnrolledPod, reason: string): void {
    this.#with.enrolment.release(pod);
    this.#damaged.delete(pod.uid);
    this.#with.onEvent({ type: 'released', pod, reason });
  }

  #forget(uid: string): void {
    this.#retries.delete(uid);
    this.#notMeshable.delete(uid);
  }

  #mayTry(uid: string): boolean {
    return !this.#sandboxGone.has(uid) && (this.#retries.get(uid)?.at ?? 0) <= performance.now();
  }

  #retryLater(uid: string): void {
    const previous = this.#retries.get(uid);
    const afterMs = previous === undefined ? firstRetryMs : Math.min(2 * previous.afterMs, longestRetryMs);
    this.#retries.set(uid, { at: performance.now() + afterMs, afterMs });
  }

  /** Told once per reason: a sweep that fails every second is no news. */
  #reportNotMeshable(pod: string, uid: string, error: WeftError): void {
    if (this.#notMeshable.get(uid) === error.message) return;
    this.#notMeshable.set(uid, error.message);
    this.#with.onEvent({ type: 'not-meshable', pod, error });
  }

  /** A list that cannot be read skips nothing: a pod must not leave the mesh by a typing error. */
  #skipsOf(namespace: SourceNamespace, pod: SourcePod): Skips {
    const known = this.#with.pods.get(pod.uid)?.skips;
    try {
      return parseSkips(namespace.annotations, pod.annotations);
    } catch (error) {
      this.#reportNotMeshable(`${pod.namespace}/${pod.name}`, pod.uid, new WeftError('WEFT-E107', reasonOf(error)));
      return known ?? parseSkips({}, {});
    }
  }

  /** Undefined where the pod is not to be meshed. */
  #wanted(pod: { uid: string; namespace: string; name: string }): { skips: Skips; ports: number[] } | undefined {
    const { source, ownNamespace } = this.#with;
    const known = source.snapshot();
    const namespace = known.namespaces.get(pod.namespace);
    if (namespace === undefined) return undefined;
    const manifest = known.pods.get(pod.uid) ?? { ...anyPodOf(pod.namespace), ...pod };
    if (!judgeEnrolment(namespace, manifest, ownNamespace).meshed) return undefined;
    return {
      skips: this.#skipsOf(namespace, manifest),
      ports: manifest.containers.flatMap((container) => container.ports),
    };
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function anyPodOf(namespace: string): SourcePod {
  return {
    uid: '',
    namespace,
    name: '',
    nodeName: '',
    labels: {},
    annotations: {},
    serviceAccount: 'default',
    hostNetwork: false,
    phase: 'Running',
    containers: [],
    addresses: [],
    createdAt: 0,
    deleting: false,
  };
}

function sameSkips(a: Skips, b: Skips): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

function toWeftError(error: unknown): WeftError {
  return error instanceof WeftError ? error : new WeftError('WEFT-E106', String(error), { cause: error });
}
