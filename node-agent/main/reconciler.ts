import type { Annotations, Skips } from '../../mesh/skips.ts';
import { parseSkips } from '../../mesh/skips.ts';
import { parseAddress } from '../../mesh/address.ts';
import { WeftError } from '../../mesh/errors.ts';
import type { OwnWorkload } from '../../mesh/workload.ts';
import type { EnrolledPod, EnrolledPods } from './enrolled-pods.ts';
import type { Enrolment } from './enrolment.ts';
import type { KeyedQueue } from './keyed-queue.ts';
import type { NativeAddon } from './native.ts';
import type { NetnsFinder } from './netns-finder.ts';
import type { PodWishes } from './pod-wishes.ts';
import { messageOf } from '../../mesh/message-of.ts';

/** What happens to a pod, as an operator wants to read it. */
export type PodEvent =
  | { readonly type: 'enrolled'; readonly pod: EnrolledPod; readonly found: 'at-start' | 'running' }
  | { readonly type: 'mended'; readonly pod: EnrolledPod }
  | { readonly type: 'released'; readonly pod: EnrolledPod; readonly reason: string }
  | { readonly type: 'not-meshable' | 'misconfigured'; readonly pod: string; readonly error: WeftError };

export interface PodTrouble {
  readonly uid: string;
  /** NAMESPACE/NAME */
  readonly pod: string;
  readonly error: WeftError;
}

export interface ReconcilerDependencies {
  readonly wishes: PodWishes;
  readonly enrolment: Pick<
    Enrolment,
    'enrol' | 'prove' | 'release' | 'captureAgain' | 'mend' | 'occupantOf' | 'isNamespaceGone'
  >;
  readonly pods: Pick<EnrolledPods, 'get' | 'values'>;
  readonly finder: Pick<NetnsFinder, 'find'>;
  readonly native: Pick<NativeAddon, 'closeDescriptor'>;
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

interface PodName {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
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
 * Brings what is captured to what the directory says. Everything that happens to one pod goes through one queue, so a CNI call and a
 * changed label never meet half way.
 */
export class Reconciler {
  readonly #with: ReconcilerDependencies;
  readonly #notMeshable = new Map<string, PodTrouble>();
  readonly #misconfigured = new Map<string, PodTrouble>();
  readonly #retries = new Map<string, Retry>();
  #sweep: NodeJS.Timeout | undefined;

  constructor(dependencies: ReconcilerDependencies) {
    this.#with = dependencies;
  }

  /** Of the pods that are to be meshed: those that are not, or whose traffic is dropped, and why. */
  get notMeshable(): PodTrouble[] {
    // One that is captured for another attempt has not proven itself yet.
    const isOutside = (uid: string): boolean => this.#with.pods.get(uid) === undefined || this.#retries.has(uid);
    const outside = [...this.#notMeshable].filter(([uid]) => isOutside(uid));
    return [...outside.map(([, told]) => told), ...this.#damaged.values()];
  }

  /** All pods of which their owners are to hear something: also those that are in the mesh, but not as their annotations say. */
  get troubles(): PodTrouble[] {
    return [...this.#misconfigured.values(), ...this.notMeshable];
  }

  start(signal: AbortSignal): void {
    this.#with.wishes.onChange(() => {
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

  /**
   * CNI ADD. Resolves once every SYN of the pod meets the agent; the proof follows, as some CNIs only let a pod's packets through
   * after ADD has returned. Resolves to false where the pod is not to be meshed.
   */
  async addSandbox(pod: PodName, sandbox: Sandbox): Promise<boolean> {
    await this.#with.wishes.untilKnown(pod.uid);
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
    void this.#run(pod, () => this.#prove(enrolled, 'at-start'));
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
    const { wishes, pods } = this.#with;
    for (const pod of wishes.pods.values()) {
      const enrolled = pods.get(pod.uid);
      const wanted = this.#wanted(pod);
      if (wanted !== undefined && enrolled === undefined && this.#mayTry(pod)) {
        this.#enqueue(pod, () => this.#enrolRunning(pod));
      } else if (wanted === undefined && enrolled !== undefined) {
        this.#enqueue(pod, async () => {
          await this.#with.beforeRelease(enrolled);
          if (pods.get(pod.uid) === enrolled) this.#release(enrolled, 'it is not to be meshed any more');
        });
      } else if (wanted !== undefined && enrolled !== undefined && !sameSkips(wanted.skips, enrolled.skips)) {
        this.#enqueue(pod, () => {
          if (pods.get(pod.uid) === enrolled) this.#captureAgain(enrolled, wanted.skips);
          return Promise.resolve();
        });
      }
    }
    for (const uid of this.#sandboxGone) if (!wishes.pods.has(uid)) this.#sandboxGone.delete(uid);
    for (const uid of this.#misconfigured.keys()) if (!wishes.pods.has(uid)) this.#misconfigured.delete(uid);
    for (const uid of this.#retries.keys()) if (!wishes.pods.has(uid)) this.#forget(uid);
    for (const pod of pods.values()) {
      if (!this.#queued.has(pod.uid) && this.#with.enrolment.isNamespaceGone(pod)) {
        void this.#run(pod, () => {
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
        const told = { uid: pod.uid, pod: `${pod.namespace}/${pod.name}`, error: toWeftError(error) };
        this.#damaged.set(pod.uid, told);
        onEvent({ type: 'not-meshable', ...told });
      }
    }
  }

  readonly #queued = new Set<string>();

  /** What could not be put back, and is told. */
  readonly #damaged = new Map<string, PodTrouble>();

  /** Objects outlive their sandboxes, and the address in them may be another pod's by then. */
  readonly #sandboxGone = new Set<string>();

  #enqueue(pod: OwnWorkload, task: () => Promise<void>): void {
    if (this.#queued.has(pod.uid)) return;
    this.#queued.add(pod.uid);
    void this.#run(pod, task).finally(() => this.#queued.delete(pod.uid));
  }

  /** In turn with whatever else happens to the pod. Nobody waits for it, so what it throws is reported. */
  async #run({ uid, namespace, name }: PodName, task: () => Promise<void>): Promise<void> {
    try {
      await this.#with.queue.run(uid, task);
    } catch (error) {
      this.#retryLater(uid);
      this.#reportNotMeshable(`${namespace}/${name}`, uid, toWeftError(error));
    }
  }

  async #enrolRunning(workload: OwnWorkload): Promise<void> {
    const { pods, finder, native, enrolment } = this.#with;
    const { uid, namespace, name } = workload;
    const wanted = this.#wanted(workload);
    if (wanted === undefined || pods.get(uid) !== undefined) return;
    const addresses = workload.addresses.map(parseAddress);
    const found = finder.find(uid, addresses);
    if (found === undefined) return; // Not made yet, or already gone: the next change or sweep tells.
    native.closeDescriptor(found.descriptor);
    const toEnrol = { uid, namespace, name, addresses, netnsPath: found.path, containerId: undefined, ...wanted };
    if (enrolment.occupantOf(toEnrol) !== undefined) return; // The address is another pod's by now.
    const pod = await enrolment.enrol(toEnrol);
    await this.#prove(pod, 'running');
  }

  async #prove(pod: EnrolledPod, found: 'at-start' | 'running'): Promise<void> {
    const { pods, enrolment, onEvent } = this.#with;
    if (pods.get(pod.uid) !== pod) return;
    const failure = await enrolment.prove(pod).catch(toWeftError);
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

  #captureAgain(pod: EnrolledPod, skips: Skips): void {
    const { pods, enrolment } = this.#with;
    try {
      enrolment.captureAgain(pod, skips);
    } catch (error) {
      if (pods.get(pod.uid) === undefined) this.#tellReleased(pod, 'the kernel did not take its new skip lists');
      throw error;
    }
  }

  #release(pod: EnrolledPod, reason: string): void {
    this.#with.enrolment.release(pod);
    this.#tellReleased(pod, reason);
  }

  #tellReleased(pod: EnrolledPod, reason: string): void {
    this.#damaged.delete(pod.uid);
    this.#with.onEvent({ type: 'released', pod, reason });
  }

  #forget(uid: string): void {
    this.#retries.delete(uid);
    this.#notMeshable.delete(uid);
  }

  #mayTry({ uid, addresses }: OwnWorkload): boolean {
    if (!this.#with.wishes.isCurrent || addresses.length === 0 || this.#sandboxGone.has(uid)) return false;
    return (this.#retries.get(uid)?.at ?? 0) <= performance.now();
  }

  #retryLater(uid: string): void {
    const previous = this.#retries.get(uid);
    const afterMs = previous === undefined ? firstRetryMs : Math.min(2 * previous.afterMs, longestRetryMs);
    this.#retries.set(uid, { at: performance.now() + afterMs, afterMs });
  }

  /** Told once per reason: a sweep that fails every second is no news. */
  #reportNotMeshable(pod: string, uid: string, error: WeftError): void {
    if (this.#notMeshable.get(uid)?.error.message === error.message) return;
    this.#notMeshable.set(uid, { uid, pod, error });
    this.#with.onEvent({ type: 'not-meshable', pod, error });
  }

  /** Told once per reason. */
  #reportMisconfigured({ uid, namespace, name }: PodName, error: WeftError): void {
    if (this.#misconfigured.get(uid)?.error.message === error.message) return;
    const pod = `${namespace}/${name}`;
    this.#misconfigured.set(uid, { uid, pod, error });
    this.#with.onEvent({ type: 'misconfigured', pod, error });
  }

  /** A list that cannot be read skips nothing: a pod must not leave the mesh by a typing error. */
  #skipsOf(pod: PodName, configuration: Annotations): Skips {
    try {
      const skips = parseSkips({}, configuration);
      this.#misconfigured.delete(pod.uid);
      return skips;
    } catch (error) {
      this.#reportMisconfigured(pod, new WeftError('WEFT-E107', messageOf(error)));
      return this.#with.pods.get(pod.uid)?.skips ?? parseSkips({}, {});
    }
  }

  /** Undefined where the pod is not to be meshed. */
  #wanted(pod: PodName): { skips: Skips; ports: readonly number[] } | undefined {
    const wish = this.#with.wishes.of(pod);
    if (wish === undefined) this.#misconfigured.delete(pod.uid);
    return wish && { skips: this.#skipsOf(pod, wish.configuration), ports: wish.ports };
  }
}

function sameSkips(a: Skips, b: Skips): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

function toWeftError(error: unknown): WeftError {
  return error instanceof WeftError ? error : new WeftError('WEFT-E106', String(error), { cause: error });
}
