import { minimumKubernetes } from '../../installation.ts';
import type { Category } from '../check.ts';

export const kubernetesApi: Category = {
  id: 'kubernetes-api',
  checks: [
    {
      id: 'k8s-api',
      description: 'can initialize the client',
      severity: 'fatal',
      hint: 'Look at --kubeconfig, KUBECONFIG and --context.',
      run: (facts) => {
        facts.open();
        return Promise.resolve(undefined);
      },
    },
    {
      id: 'k8s-api',
      description: 'can query the Kubernetes API',
      severity: 'fatal',
      hint: 'Try `kubectl get --raw /version` with the same kubeconfig and context.',
      run: async (facts, signal) => {
        await facts.kubernetesVersion(signal);
        return undefined;
      },
    },
  ],
};

export const kubernetesVersion: Category = {
  id: 'kubernetes-version',
  checks: [
    {
      id: 'k8s-version',
      description: `is running Kubernetes ${minimumKubernetes.major}.${minimumKubernetes.minor} or newer`,
      severity: 'error',
      hint: 'Upgrade the cluster; older versions are not tested.',
      run: async (facts, signal) => {
        const text = await facts.kubernetesVersion(signal);
        return isAtLeast(text, minimumKubernetes) ? undefined : `the cluster runs ${text}`;
      },
    },
  ],
};

/** "v1.36.1-eks-1", "6.12.0-rc1": what follows the second number does not count. */
export function isAtLeast(text: string, minimum: { readonly major: number; readonly minor: number }): boolean {
  const [, major, minor] = /^v?(\d+)\.(\d+)/.exec(text) ?? [];
  if (major === undefined) return false;
  return Number(major) > minimum.major || (Number(major) === minimum.major && Number(minor) >= minimum.minor);
}
