import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';

import { Readers } from '../admin/readers.ts';
import type { WeftError } from '../mesh/errors.ts';
import type { Workload } from '../mesh/workload.ts';
import { reviewerOf } from './access/metrics-readers.ts';
import { PodEvents } from './events/pod-events.ts';
import { Troubles } from './events/troubles.ts';
import type { Authenticator } from './identity/certificate-authority.ts';
import { TokenReviewAuthenticator } from './identity/token-review.ts';
import { LeaderElection } from './leadership/leader-election.ts';
import type { Model } from './model.ts';
import { TaintLifter } from './nodes/taint-lifter.ts';
import { ApiClient } from './sources/kubernetes/api-client.ts';
import { loadApiAccess } from './sources/kubernetes/api-config.ts';
import { KubernetesSource } from './sources/kubernetes/kubernetes-source.ts';

/** Of the Lease, in the namespace of the controller. */
const leaseName = 'weft-controller';
/** For two questions. */
const reviewMs = 6000;

export interface ClusterOptions {
  /** Absent in a pod. */
  readonly kubeconfig: string | undefined;
  /** Of the agents, and of the controller itself. */
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly log: { readonly info: (fields: object, message: string) => void };
  readonly onProblem: (problem: WeftError) => void;
}

export interface Cluster {
  readonly source: KubernetesSource;
  readonly authenticator: Authenticator;
  /** Of metrics. */
  readonly readers: Readers;
  readonly isLeader: boolean;
  /** What agents tell, to be said as Events. */
  readonly troubles: Troubles;
  /**
   * Writes to the API server until the signal: what agents tell this replica, and while it is the leader what a leader writes. Resolves
   * once another may lead.
   */
  write(model: Pick<Model, 'workload'>, signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

/** What a controller takes from an API server, and what it writes to it. @throws Error that names what is missing */
export function openCluster({ kubeconfig, onProblem, log, ...agents }: ClusterOptions): Cluster {
  const client = new ApiClient(loadApiAccess(kubeconfig));
  const source = new KubernetesSource({ client, onProblem });
  const lifter = new TaintLifter({
    client,
    agents,
    onProblem,
    onLifted: (node) => log.info({ node }, 'the agent is ready: start-up taint lifted'),
  });
  source.onDeltas(lifter.apply);
  const identity = `${hostname()}_${randomUUID()}`;
  const election = new LeaderElection({
    ...{ client, namespace: agents.namespace, name: leaseName, identity, onProblem },
    onHolder: (leader) => {
      if (leader !== '' && leader !== identity) log.info({ leader }, 'another replica leads');
    },
  });
  const troubles = new Troubles();
  const lead = async (signal: AbortSignal): Promise<void> => {
    log.info({ leader: identity }, 'this replica leads');
    await lifter.run(signal);
    log.info({ leader: identity }, 'this replica leads no longer');
  };
  return {
    source,
    authenticator: new TokenReviewAuthenticator({ api: client, ...agents }),
    readers: new Readers({ review: reviewerOf(client), deadlineMs: reviewMs }),
    get isLeader() {
      return election.isLeader;
    },
    troubles,
    write: async (model, signal) => {
      const workload = (uid: string): Workload | undefined => model.workload(uid);
      const events = new PodEvents({ client, troubles, instance: identity, workload, onProblem });
      await Promise.all([election.run(lead, signal), events.run(signal)]);
    },
    close: () => client.close(),
  };
}
