import { setTimeout as sleep } from 'node:timers/promises';

import { WeftError } from '../mesh/errors.ts';
import type { ApiClient } from './sources/kubernetes/api-client.ts';

const pollMs = 500;
const path = '/apis/apps/v1/namespaces';

interface DaemonSet {
  readonly metadata: { readonly name: string; readonly namespace: string; readonly generation?: number };
  readonly spec?: unknown;
  readonly status?: {
    readonly observedGeneration?: number;
    readonly desiredNumberScheduled?: number;
    readonly updatedNumberScheduled?: number;
    readonly numberReady?: number;
  };
}

export interface ClearNodesOptions {
  readonly client: ApiClient;
  /** The DaemonSet of the agents as it is where they uninstall themselves. */
  readonly agents: unknown;
  readonly deadlineMs: number;
}

/** Makes agents that take Weft from their nodes out of those that run, and waits until all have done so. */
export async function clearNodes({ client, agents, deadlineMs }: ClearNodesOptions): Promise<WeftError | undefined> {
  const { name, namespace } = (agents as DaemonSet).metadata;
  const object = `${path}/${namespace}/daemonsets/${name}`;
  const signal = AbortSignal.timeout(deadlineMs);
  let state = 'they have not been told';
  try {
    const present = (await client.json({ path: object }, signal)) as DaemonSet;
    // Without its revision, as its status changes at any time; the rest of it says whose it is.
    const metadata = { ...present.metadata, resourceVersion: undefined };
    const body = { ...present, metadata, spec: (agents as DaemonSet).spec };
    const replaced = (await client.json({ method: 'PUT', path: object, body }, signal)) as DaemonSet;
    const { generation = 0 } = replaced.metadata;
    for (;;) {
      const { status = {} } = (await client.json({ path: object }, signal)) as DaemonSet;
      const {
        desiredNumberScheduled: wanted = 0,
        updatedNumberScheduled: updated = 0,
        numberReady: ready = 0,
      } = status;
      const done = (status.observedGeneration ?? 0) < generation ? 0 : Math.min(updated, ready);
      if ((status.observedGeneration ?? 0) >= generation && done >= wanted) return undefined;
      state = `${done} of ${wanted} have`;
      await sleep(pollMs, undefined, { signal });
    }
  } catch (cause) {
    const why = signal.aborted ? `not within ${deadlineMs / 1000} s` : String(cause);
    return new WeftError('WEFT-E140', `agents have not taken Weft from all nodes, ${state}: ${why}`, { cause });
  }
}
