import type { WeftError } from '../mesh/errors.ts';
import type { Authenticator } from './identity/certificate-authority.ts';
import { TokenReviewAuthenticator } from './identity/token-review.ts';
import { ApiClient } from './sources/kubernetes/api-client.ts';
import { loadApiAccess } from './sources/kubernetes/api-config.ts';
import { KubernetesSource } from './sources/kubernetes/kubernetes-source.ts';

export interface ClusterOptions {
  /** Absent in a pod. */
  readonly kubeconfig: string | undefined;
  /** Of the agents. */
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly onProblem: (problem: WeftError) => void;
}

export interface Cluster {
  readonly source: KubernetesSource;
  readonly authenticator: Authenticator;
  close(): Promise<void>;
}

/** What a controller takes from an API server. @throws Error that names what is missing */
export function openCluster({ kubeconfig, onProblem, ...agents }: ClusterOptions): Cluster {
  const client = new ApiClient(loadApiAccess(kubeconfig));
  return {
    source: new KubernetesSource({ client, onProblem }),
    authenticator: new TokenReviewAuthenticator({ api: client, ...agents }),
    close: () => client.close(),
  };
}
