import type { WeftError } from '../../../mesh/errors.ts';
import type { Delta, Source } from '../source.ts';
import type { ApiClient } from './api-client.ts';
import type { ReflectorTimes } from './reflector-times.ts';
import { Reflector } from './reflector.ts';
import type { ResourceKind } from './resource-kinds.ts';
import { resourceKinds } from './resource-kinds.ts';

export interface KubernetesSourceOptions {
  readonly client: ApiClient;
  readonly resources?: readonly ResourceKind[];
  /** Told of each once, for as long as it stays the same. */
  readonly onProblem: (problem: WeftError) => void;
  readonly times?: ReflectorTimes;
  readonly random?: () => number;
}

/** Objects from an API server. While it cannot be reached, what it said last stays in force. */
export class KubernetesSource implements Source {
  readonly reflectors: readonly Reflector[];
  readonly #listeners: ((deltas: readonly Delta[]) => void)[] = [];

  constructor({ resources = resourceKinds, ...options }: KubernetesSourceOptions) {
    this.reflectors = resources.map((resource) => new Reflector({ ...options, resource }));
  }

  onDeltas(listener: (deltas: readonly Delta[]) => void): void {
    this.#listeners.push(listener);
  }

  problems(): readonly WeftError[] {
    return this.reflectors.flatMap((reflector) => reflector.problems());
  }

  /** Waits for the server for as long as it takes; rejects where the signal ends that. */
  async start(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await Promise.all(this.reflectors.map((reflector) => this.#follow(reflector, signal)));
  }

  /** Resolves once the kind is known; goes on until the signal ends it. */
  #follow(reflector: Reflector, signal: AbortSignal): Promise<void> {
    const { promise: synced, resolve, reject } = Promise.withResolvers<void>();
    const follow = async (): Promise<void> => {
      for await (const deltas of reflector.changes(signal)) {
        if (deltas.length > 0) for (const listener of this.#listeners) listener(deltas);
        resolve();
      }
      signal.throwIfAborted();
    };
    follow().catch((error: unknown) => {
      reject(error); // to whom it concerns while it starts
      if (!signal.aborted) throw error; // a listener's fault, which nobody may overlook
    });
    return synced;
  }
}
