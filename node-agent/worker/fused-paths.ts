import type { Engine, ProbeResult } from '../../native/engine.d.ts';
import type { Endpoint, Key } from './destinations.ts';
import { keyOf } from './destinations.ts';
import type { WorkerPod } from './pods.ts';
import { isCaptured } from './pods.ts';

/** Two probes that wait in vain and the pace of the check still fit into the 30 s within which a new policy of the network must bite. */
const verifiedMs = 20_000;
const probeTimeoutMs = 2500;
const checkMs = 250;
/** Of a path on which connections are open: one lost packet more than TCP makes good must not end them. */
const failuresToBlock = 2;
/** So long after a failure nobody tries again. */
const blockedMs = 1000;
const undecidedMs = 1000;
const startsPerCheck = 64;
const maximumPaths = 4096;

/** 'unverified': nothing is known, or not any more. */
type State = 'unverified' | 'verified' | 'blocked';

/** From a pod to a port of another pod of this node. Only FusedPaths changes it. */
export class FusedPath {
  readonly key: Key;
  readonly source: WorkerPod;
  readonly destination: WorkerPod;
  /** Made once, as every request that goes this way is given it. */
  readonly way = { kind: 'fused', path: this } as const;
  endpoint: Endpoint;
  state: State = 'unverified';
  /** Of the probe under way; 0: none. */
  probe = 0;
  failures = 0;
  /** When the next probe is due, or the failure forgotten. */
  dueAt = 0;
  used = true;
  /** Connections and requests. Each is one of the destination, too: it needs what the capture has put into that pod. */
  #open = 0;
  readonly #onClosed: (destination: WorkerPod) => void;

  constructor(
    key: Key,
    source: WorkerPod,
    destination: WorkerPod,
    endpoint: Endpoint,
    onClosed: (destination: WorkerPod) => void,
  ) {
    this.key = key;
    this.source = source;
    this.destination = destination;
    this.endpoint = endpoint;
    this.#onClosed = onClosed;
  }

  get isOpen(): boolean {
    return this.#open > 0;
  }

  opened(): void {
    this.#open++;
    this.destination.connections++;
  }

  closed(): void {
    this.#open--;
    this.destination.connections--;
    this.#onClosed(this.destination);
  }
}

export interface FusedPathsDependencies {
  readonly engine: Pick<Engine, 'probe'>;
  /** What waits for a path with this key can be decided on now. */
  readonly onSettled: (key: Key) => void;
  /** Whatever is open on this path must end. */
  readonly onBlocked: (path: FusedPath) => void;
  /** One less is open to that pod. */
  readonly onClosed: (destination: WorkerPod) => void;
  readonly now: () => number;
}

/**
 * Fused connections never cross the network's own enforcement point, so the network is asked by probes: one real connection from pod to
 * pod, which our own agent must answer as the pod's identity. A path without a recent probe that passed carries no fused connection.
 */
export class FusedPaths {
  readonly #with: FusedPathsDependencies;
  readonly #bySource = new Map<number, Map<Key, FusedPath>>();
  readonly #byProbe = new Map<number, FusedPath>();
  #size = 0;
  #lastKey = 0;
  #lastProbe = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(dependencies: FusedPathsDependencies) {
    this.#with = dependencies;
  }

  /** Undefined: there are as many as may be. */
  find(source: WorkerPod, destination: WorkerPod, endpoint: Endpoint): FusedPath | undefined {
    const paths = this.#bySource.get(source.id);
    const key = keyOf(endpoint.address, endpoint.port);
    const known = paths?.get(key);
    if (known?.destination !== destination) {
      if (known !== undefined) {
        this.#forget(known);
        // Whoever waits for it is decided on anew, but not in the middle of this decision.
        queueMicrotask(() => this.#with.onSettled(known.key));
      }
      return this.#add(source, destination, endpoint);
    }
    known.endpoint = endpoint;
    known.used = true;
    if (known.state === 'blocked' && this.#with.now() >= known.dueAt) known.state = 'unverified';
    return known;
  }

  /** Its key is settled when the result is there. */
  verify(path: FusedPath): void {
    if (path.probe === 0) this.#startProbe(path);
  }

  probed(probe: number, result: ProbeResult): void {
    const path = this.#byProbe.get(probe);
    if (path === undefined) return;
    this.#byProbe.delete(probe);
    path.probe = 0;
    if (result === 'passed') this.#passed(path);
    else if (result === 'undecided' && path.state === 'verified') path.dueAt = this.#with.now() + undecidedMs;
    else this.#failed(path);
  }

  /** Connections of its paths that are open stay so: they are not those of a captured pod any more. */
  forgetPod(pod: number): void {
    for (const paths of this.#bySource.values()) {
      for (const path of paths.values()) {
        if (path.source.id !== pod && path.destination.id !== pod) continue;
        this.#forget(path);
        this.#with.onSettled(path.key);
      }
    }
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #add(source: WorkerPod, destination: WorkerPod, endpoint: Endpoint): FusedPath | undefined {
    if (this.#size >= maximumPaths) return undefined;
    const path = new FusedPath(`path ${++this.#lastKey}`, source, destination, endpoint, this.#with.onClosed);
    const paths = this.#bySource.get(source.id);
    const key = keyOf(endpoint.address, endpoint.port);
    if (paths === undefined) this.#bySource.set(source.id, new Map([[key, path]]));
    else paths.set(key, path);
    this.#size++;
    this.#timer ??= setInterval(() => {
      this.#check();
    }, checkMs).unref();
    return path;
  }

  #forget(path: FusedPath): void {
    const paths = this.#bySource.get(path.source.id);
    if (paths?.delete(keyOf(path.endpoint.address, path.endpoint.port)) !== true) return;
    if (paths.size === 0) this.#bySource.delete(path.source.id);
    this.#byProbe.delete(path.probe);
    if (--this.#size === 0) this.close();
  }

  #startProbe(path: FusedPath): void {
    const { source, endpoint } = path;
    path.used = false;
    path.probe = ++this.#lastProbe;
    this.#byProbe.set(path.probe, path);
    this.#with.engine.probe(path.probe, {
      pod: source.id,
      address: endpoint.address,
      port: endpoint.port,
      credentials: source.identity,
      expectedName: endpoint.identity,
      timeoutMs: probeTimeoutMs,
    });
  }

  #passed(path: FusedPath): void {
    path.state = 'verified';
    path.failures = 0;
    path.dueAt = this.#with.now() + verifiedMs;
    this.#with.onSettled(path.key);
  }

  #failed(path: FusedPath): void {
    if (path.state === 'verified' && ++path.failures < failuresToBlock) {
      this.#startProbe(path);
      return;
    }
    path.state = 'blocked';
    path.failures = 0;
    path.dueAt = this.#with.now() + blockedMs;
    this.#with.onSettled(path.key);
    if (path.isOpen) this.#with.onBlocked(path);
  }

  /** Probes what is due and still used; forgets the rest. */
  #check(): void {
    const now = this.#with.now();
    let starts = 0;
    for (const paths of this.#bySource.values()) {
      for (const path of paths.values()) {
        if (path.probe !== 0 || now < path.dueAt) continue;
        const isUsed = path.state === 'verified' && (path.used || path.isOpen);
        if (!isUsed || !isCaptured(path.endpoint, path.source, path.destination)) this.#forget(path);
        else if (starts++ < startsPerCheck) this.#startProbe(path);
      }
    }
  }
}
