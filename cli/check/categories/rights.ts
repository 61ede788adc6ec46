import type { Right } from '../../cluster/cluster.ts';
import type { Facts } from '../../cluster/facts.ts';
import type { Category, Check } from '../check.ts';

interface Kind {
  readonly title: string;
  readonly group: string;
  readonly resource: string;
}

const clusterWide: readonly Kind[] = [
  { title: 'Namespaces', group: '', resource: 'namespaces' },
  { title: 'CustomResourceDefinitions', group: 'apiextensions.k8s.io', resource: 'customresourcedefinitions' },
  { title: 'ClusterRoles', group: 'rbac.authorization.k8s.io', resource: 'clusterroles' },
  { title: 'ClusterRoleBindings', group: 'rbac.authorization.k8s.io', resource: 'clusterrolebindings' },
  ...['ValidatingAdmissionPolicies', 'ValidatingAdmissionPolicyBindings'].map((title) => ({
    ...{ title, group: 'admissionregistration.k8s.io', resource: title.toLowerCase() },
  })),
];

const namespaced: readonly Kind[] = [
  { title: 'ServiceAccounts', group: '', resource: 'serviceaccounts' },
  { title: 'Services', group: '', resource: 'services' },
  { title: 'Secrets', group: '', resource: 'secrets' },
  { title: 'ConfigMaps', group: '', resource: 'configmaps' },
  { title: 'Deployments', group: 'apps', resource: 'deployments' },
  { title: 'DaemonSets', group: 'apps', resource: 'daemonsets' },
  { title: 'Roles', group: 'rbac.authorization.k8s.io', resource: 'roles' },
  { title: 'RoleBindings', group: 'rbac.authorization.k8s.io', resource: 'rolebindings' },
  { title: 'Leases', group: 'coordination.k8s.io', resource: 'leases' },
  { title: 'PodDisruptionBudgets', group: 'policy', resource: 'poddisruptionbudgets' },
  { title: 'NetworkPolicies', group: 'networking.k8s.io', resource: 'networkpolicies' },
];

/** What must be there before an installation, and what must not. */
export const preSetup: Category = {
  id: 'pre-kubernetes-setup',
  checks: [
    {
      id: 'pre-ns',
      description: 'control plane namespace does not already exist',
      severity: 'error',
      hint: 'Run `weft upgrade` if Weft is installed, or choose another namespace with -L.',
      run: async (facts, signal) => {
        const found = await facts.get(`/api/v1/namespaces/${facts.namespace}`, signal);
        return found === undefined ? undefined : `the namespace "${facts.namespace}" already exists`;
      },
    },
    {
      id: 'pre-k8s-cluster-k8s',
      description: 'can create non-namespaced resources',
      severity: 'error',
      hint: 'Ask for the rights of cluster-admin, which an installation needs: it makes ClusterRoles and CustomResourceDefinitions.',
      run: async (facts, signal) => {
        const missing: string[] = [];
        for (const { title, group, resource } of clusterWide)
          if (!(await facts.cluster.mayI({ verb: 'create', group, resource }, signal))) missing.push(title);
        return missing.length === 0 ? undefined : `not allowed to create ${missing.join(', ')}`;
      },
    },
    ...namespaced.map(({ title, group, resource }) =>
      rightCheck('pre-k8s', `can create ${title}`, ({ namespace }) => ({ verb: 'create', group, resource, namespace })),
    ),
    rightCheck('pre-k8s', 'can read Secrets', ({ namespace }) => ({
      verb: 'get',
      group: '',
      resource: 'secrets',
      namespace,
    })),
    {
      id: 'pre-k8s-pod-security',
      description: 'pod security admission lets agents run',
      severity: 'error',
      hint: 'Label the namespace pod-security.kubernetes.io/enforce=privileged: agents use the network of their node and load eBPF programs.',
      run: async (facts, signal) => {
        const namespace = await facts.get(`/api/v1/namespaces/${facts.namespace}`, signal);
        const level = namespace?.metadata.labels?.['pod-security.kubernetes.io/enforce'];
        if (level === undefined || level === 'privileged') return undefined;
        return `the namespace "${facts.namespace}" enforces "${level}"`;
      },
    },
  ],
};

function rightCheck(id: string, description: string, right: (facts: Facts) => Right): Check {
  return {
    id,
    description,
    severity: 'error',
    hint: 'Ask for that right, or have somebody install Weft who has it.',
    run: async (facts, signal) => {
      const asked = right(facts);
      if (await facts.cluster.mayI(asked, signal)) return undefined;
      return `not allowed to ${asked.verb} ${asked.resource} in the namespace "${facts.namespace}"`;
    },
  };
}
