import type { Address } from '../../mesh/address.ts';
import { formatAddress, parseAddress } from '../../mesh/address.ts';
import type { Engine, ProbeResult } from '../../native/engine.d.ts';
import type { Endpoint, Key } from './destinations.ts';
import { Destinations, keyOf } from './destinations.ts';
import type { FusedPath } from './fused-paths.ts';
import { FusedPaths } from './fused-paths.ts';
import type { CredentialsMessage, DestinationMessage, WorkerOptions } from './messages.ts';
import type { WorkerPod, WorkerPods } from './pods.ts';
import { isCaptured } from './pods.ts';
import { messageOf } from '../../mesh/message-of.ts';

/** How long a connection or a request waits for what only main can tell. */
export const resolveTimeoutMs = 3000;

/** What has to be known before a connection or a request can be decided on. */
export interface Missing {
  readonly key: Key;
  /** Asks for it; absent where it comes unasked. */
  readonly ask?: () => void;
}

/**
 * 'out': in plaintext from the client's pod; 'app': straight to the app of this node's pod; 'tunnel': by mutual TLS; 'fused': straight
 * to the app, as long as the path holds; 'forbidden': by the network.
 */
export type Way =
  | { readonly kind: 'out' | 'app' | 'tunnel' | 'forbidden' }
  | { readonly kind: 'fused'; readonly path: FusedPath }
  | { readonly kind: 'missing'; readonly missing: Missing };

// Made once, as every connection and request is given one.
const out: Way = { kind: 'out' };
const app: Way = { kind: 'app' };
const tunnel: Way = { kind: 'tunnel' };
const forbidden: Way = { kind: 'forbidden' };

export interface WaysDependencies {
  readonly options: Pick<WorkerOptions, 'sameNodeMtls'>;
  readonly engine: Pick<Engine, 'intern' | 'setCredentials' | 'forgetCredentials' | 'probe'>;
  readonly pods: Pick<WorkerPods, 'get'>;
  readonly resolve: (address: string, port: number) => void;
  /** What waits for this key can be decided on now. */
  readonly onSettled: (key: Key) => void;
  /** What goes over this path must end. */
  readonly onBlocked: (path: FusedPath) => void;
  /** One connection or request less is open straight to that pod's app. */
  readonly onFusedClosed: (pod: WorkerPod) => void;
  readonly onRefusedCredentials: (identity: string, reason: string) => void;
}

/** How endpoints are reached, by what main has told and what probes have shown. */
export class Ways {
  readonly destinations: Destinations;
  readonly fused: FusedPaths;
  readonly #with: WaysDependencies;
  readonly #credentials = new Set<number>();

  constructor(dependencies: WaysDependencies) {
    this.#with = dependencies;
    const { engine, onSettled, onBlocked, onFusedClosed: onClosed } = dependencies;
    this.destinations = new Destinations((name) => engine.intern(name));
    this.fused = new FusedPaths({ engine, onSettled, onBlocked, onClosed, now: () => performance.now() });
  }

  /** From the pod to the endpoint; the endpoint is known to be meshed or not. */
  find(endpoint: Endpoint, pod: WorkerPod): Way {
    // Who has left the mesh dials as everybody outside of it does; its certificate may be gone by now.
    if (endpoint.meshed !== true || pod.hasLeft) return out;
    if (endpoint.localPod !== 0) return this.#findOnNode(endpoint, pod);
    const missing = this.missingCredentials(pod);
    return missing === undefined ? tunnel : { kind: 'missing', missing };
  }

  missing(address: Address, port: number): Missing {
    return {
      key: keyOf(address, port),
      ask: () => {
        this.#with.resolve(formatAddress(address), port);
      },
    };
  }

  missingCredentials(pod: WorkerPod): Missing | undefined {
    if (pod.identity === 0) return missingDescription(pod.id);
    return this.#credentials.has(pod.identity) ? undefined : { key: credentialsKey(pod.identity) };
  }

  learn(message: DestinationMessage): void {
    this.destinations.set(message);
    this.#with.onSettled(keyOf(parseAddress(message.address), message.port));
  }

  forget(address: string, port: number): void {
    this.destinations.forget(address, port);
  }

  /** What the engine cannot use changes nothing: the credentials before it stay in force. */
  setCredentials(message: CredentialsMessage): void {
    const { engine, onRefusedCredentials, onSettled } = this.#with;
    const number = engine.intern(message.identity);
    try {
      engine.setCredentials(number, message);
    } catch (error) {
      onRefusedCredentials(message.identity, messageOf(error));
      return;
    }
    this.#credentials.add(number);
    onSettled(credentialsKey(number));
  }

  forgetCredentials(identity: string): void {
    const { engine } = this.#with;
    const number = engine.intern(identity);
    if (this.#credentials.delete(number)) engine.forgetCredentials(number);
  }

  /** Main has told who the pod is. */
  podDescribed(pod: number): void {
    this.#with.onSettled(podKey(pod));
  }

  podReleased(id: number): void {
    this.fused.forgetPod(id);
    const identity = this.#with.pods.get(id)?.identity ?? 0;
    if (identity !== 0) this.#with.onSettled(credentialsKey(identity));
  }

  probed(probe: number, result: ProbeResult): void {
    this.fused.probed(probe, result);
  }

  close(): void {
    this.fused.close();
  }

  /** To a pod of this node: straight to its app where the network lets it be reached, which a probe tells. */
  #findOnNode(endpoint: Endpoint, pod: WorkerPod): Way {
    const { options, pods } = this.#with;
    const { localPod } = endpoint;
    if (localPod === pod.id) return app; // no network lies between
    const server = pods.get(localPod);
    if (server === undefined || server.identity === 0)
      return { kind: 'missing', missing: missingDescription(localPod) };
    if (!isCaptured(endpoint, pod, server)) return out;
    const missing = this.missingCredentials(pod);
    if (missing !== undefined) return { kind: 'missing', missing };
    const path = options.sameNodeMtls ? undefined : this.fused.find(pod, server, endpoint);
    switch (path?.state) {
      case undefined:
        return tunnel;
      case 'verified':
        return path.way;
      case 'blocked':
        return forbidden;
      case 'unverified':
        return {
          kind: 'missing',
          missing: {
            key: path.key,
            ask: () => {
              this.fused.verify(path);
            },
          },
        };
    }
  }
}

export function missingDescription(pod: number): Missing {
  return { key: podKey(pod) };
}

function podKey(pod: number): Key {
  return `pod ${pod}`;
}

function credentialsKey(identity: number): Key {
  return `credentials ${identity}`;
}
