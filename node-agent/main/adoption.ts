import type { Capture } from '../../native/capture.d.ts';
import type { Logger } from '../log.ts';
import type { EnrolledPod, EnrolledPods } from './enrolled-pods.ts';
import type { Enrolment } from './enrolment.ts';
import type { KeyedQueue } from './keyed-queue.ts';

export interface AdoptionDependencies {
  readonly capture: Pick<Capture, 'adopted' | 'forget' | 'attach'>;
  readonly enrolment: Pick<Enrolment, 'reserveIds' | 'releaseIds' | 'isNamespaceGone' | 'listenAgain' | 'captureAgain'>;
  readonly pods: Pick<EnrolledPods, 'get' | 'values' | 'readPredecessors'>;
  readonly queue: KeyedQueue;
  readonly log: Pick<Logger, 'error'>;
}

/** Listeners for pods that the kernel has captured already: their capture outlives the process that made the listeners before. */
export class Adoption {
  readonly #with: AdoptionDependencies;

  constructor(dependencies: AdoptionDependencies) {
    this.#with = dependencies;
  }

  /**
   * Takes over what the pinned maps hold: this generation's listeners first, then its programs. Entries of namespaces that cannot be found
   * again are taken out.
   */
  async ofEarlierAgent(): Promise<void> {
    const { capture, enrolment, pods } = this.#with;
    const adopted = new Map(capture.adopted().map((pod) => [pod.cookie, pod]));
    enrolment.reserveIds([...adopted.values()].map((pod) => pod.id));
    for (const pod of pods.readPredecessors()) {
      if (adopted.get(pod.cookie)?.id !== pod.id || enrolment.isNamespaceGone(pod)) continue;
      try {
        await enrolment.listenAgain(pod);
        adopted.delete(pod.cookie);
      } catch (error) {
        this.#reportLost(pod, error);
      }
    }
    for (const cookie of adopted.keys()) capture.forget(cookie);
    enrolment.releaseIds([...adopted.values()].map((pod) => pod.id));
    capture.attach();
    for (const pod of pods.values()) {
      try {
        enrolment.captureAgain(pod, pod.skips);
      } catch (error) {
        this.#reportLost(pod, error);
      }
    }
  }

  /** It is for the reconciler to take it in again. */
  #reportLost({ namespace, name }: EnrolledPod, error: unknown): void {
    this.#with.log.error({ error, namespace, pod: name }, 'a pod of the earlier agent could not be taken over');
  }

  /** The listeners of the broker that ended are gone. Each pod in turn with whatever else happens to it. @throws WeftError WEFT-E105 */
  async ofLostBroker(): Promise<void> {
    const { pods, queue } = this.#with;
    await Promise.all(pods.values().map((pod) => queue.run(pod.uid, () => this.#listenAgain(pod))));
  }

  async #listenAgain({ uid, id }: EnrolledPod): Promise<void> {
    const { enrolment, pods } = this.#with;
    const pod = pods.get(uid);
    if (pod?.id !== id || enrolment.isNamespaceGone(pod)) return; // it has left, or is about to
    await enrolment.listenAgain(pod);
  }
}
