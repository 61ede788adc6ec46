import type { Capture, PodCapture } from '../../native/capture.d.ts';
import { WeftError } from '../../mesh/errors.ts';
import type { Broker } from './broker.ts';
import type { EnrolledPod, EnrolledPods } from './enrolled-pods.ts';
import type { NativeAddon } from './native.ts';
import type { CaptureProof } from './capture-proof.ts';
import type { Skips } from '../../mesh/skips.ts';
import type { MessageToWorker } from '../worker/messages.ts';

export interface PodToEnrol {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly addresses: readonly Uint8Array[];
  readonly skips: Skips;
  readonly ports: readonly number[];
  readonly netnsPath: string;
  readonly containerId: string | undefined;
}

export interface EnrolmentDependencies {
  readonly native: NativeAddon;
  readonly capture: Capture;
  /** The one that runs now. */
  readonly broker: () => Broker;
  readonly pods: EnrolledPods;
  readonly proof: CaptureProof;
  readonly workers: number;
  readonly tellWorkers: (message: MessageToWorker) => void;
  /** What workers have to know of a pod. */
  readonly describe: (pod: EnrolledPod) => MessageToWorker;
}

const maximumPods = 1024; // WEFT_MAX_PODS of bpf/weft.h
const maximumId = 0xffff_ffff;

/**
 * Takes pods into the kernel's capture and out of it. Calls for one pod must not overlap: the reconciler queues them.
 *
 * Joining: listeners first, then the kernel entries, so that from the first captured SYN on somebody listens. Leaving: kernel entries
 * first, then listeners, so that what was captured before is still accepted.
 */
export class Enrolment {
  readonly #with: EnrolmentDependencies;
  readonly #usedIds = new Set<number>();
  #lastId = 0;

  constructor(dependencies: EnrolmentDependencies) {
    this.#with = dependencies;
  }

  /** Ids that the pinned maps hold from an earlier process. */
  reserveIds(ids: Iterable<number>): void {
    for (const id of ids) {
      this.#usedIds.add(id);
      this.#lastId = Math.max(this.#lastId, id);
    }
  }

  releaseIds(ids: Iterable<number>): void {
    for (const id of ids) this.#usedIds.delete(id);
  }

  /** Listeners for a pod that the kernel has captured already: of an earlier process, or of a broker that is gone. */
  async listenAgain(pod: EnrolledPod): Promise<void> {
    const netns = this.#openNetns(pod);
    try {
      await this.#listen(pod, netns);
    } finally {
      this.#with.native.closeDescriptor(netns);
    }
    this.#with.pods.set(pod);
  }

  /** @throws WeftError WEFT-E104 netns gone, WEFT-E105 broker, WEFT-E106 BPF; then nothing of the pod is left. */
  async enrol(pod: PodToEnrol): Promise<EnrolledPod> {
    const { native, pods } = this.#with;
    const netns = this.#openNetns(pod);
    try {
      const enrolled: EnrolledPod = {
        ...pod,
        id: this.#takeId(),
        cookie: native.netnsCookie(netns),
        ipv4: pod.addresses.find(isIPv4),
        ipv6: pod.addresses.find((address) => !isIPv4(address)),
      };
      await this.#listen(enrolled, netns);
      this.#captureTraffic(enrolled, netns);
      pods.set(enrolled);
      return enrolled;
    } finally {
      native.closeDescriptor(netns);
    }
  }

  /** Whose network namespace that is, as far as it is enrolled. @throws WeftError WEFT-E104 */
  occupantOf(pod: Pick<PodToEnrol, 'netnsPath' | 'namespace' | 'name'>): EnrolledPod | undefined {
    const { native, pods } = this.#with;
    const netns = this.#openNetns(pod);
    try {
      const cookie = native.netnsCookie(netns);
      return pods.values().find((candidate) => candidate.cookie === cookie);
    } finally {
      native.closeDescriptor(netns);
    }
  }

  /**
   * New skip lists take effect for new connections.
   * @throws WeftError WEFT-E104 netns gone, WEFT-E106 BPF; then the pod has left.
   */
  captureAgain(pod: EnrolledPod, skips: Skips): EnrolledPod {
    const { native, pods, tellWorkers, describe } = this.#with;
    const updated = { ...pod, skips };
    const netns = this.#openNetns(pod);
    try {
      this.#captureTraffic(updated, netns);
    } finally {
      native.closeDescriptor(netns);
    }
    pods.set(updated);
    tellWorkers(describe(updated));
    return updated;
  }

  /**
   * Puts back what somebody has taken out of the pod's namespace.
   * @returns whether something was missing
   * @throws WeftError WEFT-E111; then the pod stays captured, and nothing of it passes.
   */
  mend(pod: EnrolledPod): boolean {
    const { native, capture, workers } = this.#with;
    const netns = this.#tryOpenNetns(pod);
    if (netns === undefined) return false;
    try {
      return capture.mend(netns, captureOf(pod, workers));
    } catch (cause) {
      throw new WeftError('WEFT-E111', `the capture of ${pod.namespace}/${pod.name} is damaged`, { cause });
    } finally {
      native.closeDescriptor(netns);
    }
  }

  /** Only proves; the caller releases a pod whose proof failed. */
  async prove(pod: EnrolledPod): Promise<WeftError | undefined> {
    return this.#with.proof.run(pod, await this.#portOf(pod));
  }

  /** Open connections of the pod go on, and so do those that no decision is taken on yet: until the last has ended workers get sockets of it. */
  release(pod: EnrolledPod): void {
    const { native, capture, pods, workers, tellWorkers } = this.#with;
    const netns = this.#tryOpenNetns(pod);
    if (netns === undefined) {
      capture.forget(pod.cookie);
    } else {
      try {
        capture.release(netns, pod.id);
      } finally {
        native.closeDescriptor(netns);
      }
    }
    pods.delete(pod.uid);
    this.#ports.delete(pod.id);
    this.#leaving.set(pod.id, { pod, workersLeft: new Set(Array(workers).keys()) });
    tellWorkers({ type: 'pod-released', pod: pod.id });
  }

  /** A worker has ended its last connection of a pod that left. After the last worker the pod's routes go, and its id is free. */
  workerDrained(id: number, worker: number): void {
    const leaving = this.#leaving.get(id);
    leaving?.workersLeft.delete(worker);
    if (leaving === undefined || leaving.workersLeft.size > 0) return;
    this.#leaving.delete(id);
    this.#with.broker().removePod(id);
    this.#usedIds.delete(id);
    const netns = this.#tryOpenNetns(leaving.pod);
    if (netns === undefined) return;
    const { native, capture, pods } = this.#with;
    try {
      // It may have joined again meanwhile, and even left again with connections of its own.
      const others = [...pods.values(), ...[...this.#leaving.values()].map(({ pod }) => pod)];
      if (!others.some(({ cookie }) => cookie === leaving.pod.cookie)) capture.cleanNamespace(netns);
    } finally {
      native.closeDescriptor(netns);
    }
  }

  /** What is still open of pods that have left breaks: nothing of ours is to stay in them. */
  giveUpLeaving(): void {
    for (const [id, { workersLeft }] of [...this.#leaving])
      for (const worker of [...workersLeft]) this.workerDrained(id, worker);
  }

  /** Ids of pods that were released and have connections still. */
  get leaving(): number[] {
    return [...this.#leaving.keys()];
  }

  readonly #leaving = new Map<number, { readonly pod: EnrolledPod; readonly workersLeft: Set<number> }>();

  readonly #ports = new Map<number, Promise<number>>();

  #portOf(pod: EnrolledPod): Promise<number> {
    const port = this.#ports.get(pod.id);
    if (port === undefined) throw new WeftError('WEFT-E105', `pod ${pod.namespace}/${pod.name} has no listener`);
    return port;
  }

  async #listen(pod: EnrolledPod, netns: number): Promise<void> {
    const { broker, workers, tellWorkers, describe } = this.#with;
    tellWorkers(describe(pod));
    const port = broker().addPod(
      { pod: pod.id, workers, ipv4: pod.ipv4, ipv6: pod.ipv6, avoidedPorts: pod.ports },
      netns,
    );
    this.#ports.set(pod.id, port);
    try {
      await port;
    } catch (cause) {
      this.#forgetId(pod.id);
      throw new WeftError('WEFT-E105', `no listener could be made for ${pod.namespace}/${pod.name}`, { cause });
    }
  }

  #captureTraffic(pod: EnrolledPod, netns: number): void {
    const { capture, workers } = this.#with;
    try {
      capture.enrol(netns, captureOf(pod, workers));
    } catch (cause) {
      this.release(pod);
      throw new WeftError('WEFT-E106', `the kernel did not take ${pod.namespace}/${pod.name} in`, { cause });
    }
  }

  #openNetns(pod: Pick<PodToEnrol, 'netnsPath' | 'namespace' | 'name'>): number {
    try {
      return this.#with.native.openNetns(pod.netnsPath);
    } catch (cause) {
      throw new WeftError('WEFT-E104', `${pod.netnsPath} of ${pod.namespace}/${pod.name} cannot be opened`, { cause });
    }
  }

  /** The path may name another pod's namespace by now. */
  #tryOpenNetns(pod: EnrolledPod): number | undefined {
    const { native } = this.#with;
    let netns: number;
    try {
      netns = native.openNetns(pod.netnsPath);
    } catch {
      return undefined;
    }
    if (native.netnsCookie(netns) === pod.cookie) return netns;
    native.closeDescriptor(netns);
    return undefined;
  }

  isNamespaceGone(pod: EnrolledPod): boolean {
    const netns = this.#tryOpenNetns(pod);
    if (netns === undefined) return true;
    this.#with.native.closeDescriptor(netns);
    return false;
  }

  /** Ids come back only after all others: what a worker is told of a pod reaches it by two channels, so it may come after the pod is gone. */
  #takeId(): number {
    if (this.#usedIds.size >= maximumPods) {
      throw new WeftError('WEFT-E106', `this node already has ${maximumPods} pods in the mesh`);
    }
    do {
      this.#lastId = this.#lastId === maximumId ? 1 : this.#lastId + 1;
    } while (this.#usedIds.has(this.#lastId));
    this.#usedIds.add(this.#lastId);
    return this.#lastId;
  }

  #forgetId(id: number): void {
    this.#ports.delete(id);
    this.#usedIds.delete(id);
  }
}

function captureOf(pod: EnrolledPod, workers: number): PodCapture {
  return {
    id: pod.id,
    workers,
    ...(pod.ipv4 && { ipv4: pod.ipv4 }),
    ...(pod.ipv6 && { ipv6: pod.ipv6 }),
    skipInboundPorts: pod.skips.inboundPorts,
    skipOutboundPorts: pod.skips.outboundPorts,
    skipSubnets: pod.skips.subnets,
  };
}

function isIPv4(address: Uint8Array): boolean {
  return address.subarray(0, 10).every((byte) => byte === 0) && address[10] === 0xff && address[11] === 0xff;
}
