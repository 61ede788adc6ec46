import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';

import type { WeftError } from '../mesh/errors.ts';
import type { Authenticator } from './identity/certificate-authority.ts';
import { TokenReviewAuthenticator } from './identity/token-review.ts';
import { LeaderElection } from './leadership/leader-election.ts';
import { TaintLifter } from './nodes/taint-lifter.ts';
import { ApiClient } from './sources/kubernetes/api-client.ts';
import { loadApiAccess } from './sources/kubernetes/api-config.ts';
import { KubernetesSource } from './sources/kubernetes/kubernetes-source.ts';

/** Of the Lease, in the namespace of the controller. */
const leaseName = 'weft-controller';

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
  readonly isLeader: boolean;
  /** Takes part in the election of a leader until the signal, and does what a leader does while this replica is it. */
  takePart(signal: AbortSignal): Promise<void>;
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
  const lead = async (signal: AbortSignal): Promise<void> => {
    log.info({ leader: identity }, 'this replica leads');
    await lifter.run(signal);
    log.info({ leader: identity }, 'this replica leads no longer');
  };
  return {
    source,
    authenticator: new TokenReviewAuthenticator({ api: client, ...agents }),
    get isLeader() {
      return election.isLeader;
    },
    takePart: (signal) => election.run(lead, signal),
    close: () => client.close(),
  };
}
