import type { CniHandler, CniRequest } from './cni-server.ts';
import type { EnrolledPods } from './enrolled-pods.ts';
import type { Reconciler } from './reconciler.ts';

/** What the container runtime's calls mean for the mesh. Errors that are thrown fail the call: the pod waits, unmeshed never. */
export class CniCalls implements CniHandler {
  readonly #reconciler: Reconciler;
  readonly #pods: EnrolledPods;

  constructor(reconciler: Reconciler, pods: EnrolledPods) {
    this.#reconciler = reconciler;
    this.#pods = pods;
  }

  async add(request: CniRequest): Promise<void> {
    if (request.podUid === undefined || request.podNamespace === undefined || request.netns === undefined) return;
    await this.#reconciler.addSandbox(
      { uid: request.podUid, namespace: request.podNamespace, name: request.podName ?? '' },
      { netnsPath: request.netns, containerId: request.containerId, addresses: request.addresses },
    );
  }

  async del(request: CniRequest): Promise<void> {
    const pod =
      request.podUid === undefined
        ? this.#pods.values().find((candidate) => candidate.containerId === request.containerId)
        : this.#pods.get(request.podUid);
    if (pod !== undefined) await this.#reconciler.deleteSandbox(pod.uid, request.containerId, 'its sandbox is deleted');
  }

  /** An ADD that succeeded left the pod enrolled, or not to be meshed; the sweep mends the rest. */
  check(): Promise<void> {
    return Promise.resolve();
  }

  async gc(request: CniRequest): Promise<void> {
    const valid = new Set(request.validAttachments.map((attachment) => attachment.containerId));
    for (const pod of this.#pods.values()) {
      if (pod.containerId !== undefined && !valid.has(pod.containerId)) {
        await this.#reconciler.deleteSandbox(
          pod.uid,
          pod.containerId,
          'the runtime does not know its sandbox any more',
        );
      }
    }
  }
}
