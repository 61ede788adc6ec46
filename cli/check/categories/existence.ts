import { startupTaint } from '../../../mesh/startup-taint.ts';
import type { Right } from '../../cluster/cluster.ts';
import type { Facts } from '../../cluster/facts.ts';
import type { KubeObject, Pod } from '../../cluster/objects.ts';
import { isConditionTrue, nameOf } from '../../cluster/objects.ts';
import { agent, controller } from '../../installation.ts';
import type { Category, Check } from '../check.ts';
import { listed } from '../check.ts';

const installHint = 'Install Weft (`weft install | kubectl apply -f -`), or name its namespace with -L.';

const readKinds: readonly Pick<Right, 'group' | 'resource'>[] = [
  ...['namespaces', 'nodes', 'pods', 'serviceaccounts', 'services'].map((resource) => ({ group: '', resource })),
  { group: 'discovery.k8s.io', resource: 'endpointslices' },
];

/** deploy/rbac/controller.yaml */
export function controllerRights(namespace: string): readonly Right[] {
  const lease = { group: 'coordination.k8s.io', resource: 'leases', namespace, name: controller.name };
  return [
    ...readKinds.flatMap((kind) => ['list', 'watch'].map((verb) => ({ verb, ...kind }))),
    { verb: 'create', group: 'authentication.k8s.io', resource: 'tokenreviews' },
    { verb: 'create', group: 'authorization.k8s.io', resource: 'subjectaccessreviews' },
    { verb: 'patch', group: '', resource: 'nodes' },
    ...['create', 'patch'].map((verb) => ({ verb, group: 'events.k8s.io', resource: 'events' })),
    ...['get', 'update'].map((verb) => ({ verb, ...lease })),
  ];
}

/** What an installation consists of, and that it runs. */
export const existence: Category = {
  id: 'weft-existence',
  checks: [
    existsCheck({
      id: 'weft-existence-ns',
      description: 'control plane namespace exists',
      severity: 'fatal',
      paths: ({ namespace }) => [`/api/v1/namespaces/${namespace}`],
    }),
    existsCheck({
      id: 'weft-existence-controller',
      description: `Deployment ${controller.name} exists`,
      severity: 'fatal',
      paths: ({ namespace }) => [`/apis/apps/v1/namespaces/${namespace}/deployments/${controller.name}`],
    }),
    existsCheck({
      id: 'weft-existence-agent',
      description: `DaemonSet ${agent.name} exists`,
      severity: 'fatal',
      paths: ({ namespace }) => [`/apis/apps/v1/namespaces/${namespace}/daemonsets/${agent.name}`],
    }),
    existsCheck({
      id: 'weft-existence-sa',
      description: 'control plane ServiceAccounts exist',
      severity: 'error',
      paths: ({ namespace }) =>
        [controller.name, agent.name].map((name) => `/api/v1/namespaces/${namespace}/serviceaccounts/${name}`),
    }),
    existsCheck({
      id: 'weft-existence-cr',
      description: 'control plane ClusterRoles exist',
      severity: 'error',
      paths: () => [`/apis/rbac.authorization.k8s.io/v1/clusterroles/${controller.name}`],
    }),
    existsCheck({
      id: 'weft-existence-crb',
      description: 'control plane ClusterRoleBindings exist',
      severity: 'error',
      paths: () => [`/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/${controller.name}`],
    }),
    {
      id: 'weft-existence-rights',
      description: 'the controller may do what it must',
      severity: 'error',
      hint: 'Apply the installation again; somebody may have changed the ClusterRole or its binding.',
      run: async (facts, signal) => {
        const account = `system:serviceaccount:${facts.namespace}:${controller.name}`;
        const missing: string[] = [];
        for (const right of controllerRights(facts.namespace))
          if (!(await facts.cluster.may(account, right, signal))) missing.push(`${right.verb} ${right.resource}`);
        return missing.length === 0 ? undefined : `${account} may not ${missing.join(', ')}`;
      },
    },
    {
      id: 'weft-existence-unschedulable-pods',
      description: 'no unschedulable pods',
      severity: 'warning',
      isRetried: true,
      hint: 'Look at the events of the pod with `kubectl describe pod`: resources, taints, node selectors.',
      run: async (facts, signal) => listed((await ownPods(facts, signal)).flatMap(unschedulable)),
    },
    {
      id: 'weft-controller-ready',
      description: 'control plane pods are ready',
      severity: 'error',
      isRetried: true,
      hint: `Look at \`kubectl describe deployment ${controller.name}\`, then at the events and the log of the pod.`,
      run: async (facts, signal) => {
        const { metadata, spec, status } = (await facts.deployment(signal)) ?? {};
        const wanted = spec?.replicas ?? 1;
        const { updatedReplicas: updated = 0, readyReplicas: ready = 0, observedGeneration = 0 } = status ?? {};
        const problems = (await facts.controllerPods(signal)).flatMap(notReady);
        if (observedGeneration < (metadata?.generation ?? 0)) problems.unshift('the last change is not rolled out yet');
        else if (wanted === 0) problems.unshift('it is scaled to 0 replicas');
        else if (ready < wanted || updated < wanted)
          problems.unshift(`${ready} of ${wanted} replicas are ready, ${updated} are up to date`);
        return listed(problems);
      },
    },
    {
      id: 'weft-agent-ready',
      description: 'agents are ready',
      severity: 'error',
      isRetried: true,
      hint: `Look at \`kubectl describe daemonset ${agent.name}\`, then at the events and the log of the pod.`,
      run: async (facts, signal) => {
        const { metadata, status } = (await facts.daemonSet(signal)) ?? {};
        const {
          desiredNumberScheduled: wanted = 0,
          updatedNumberScheduled: updated = 0,
          numberReady: ready = 0,
        } = status ?? {};
        const problems = (await facts.agentPods(signal)).flatMap(notReady);
        if ((status?.observedGeneration ?? 0) < (metadata?.generation ?? 0))
          problems.unshift('the last change is not rolled out yet');
        else if (wanted === 0) problems.unshift('no node is selected');
        else if (ready < wanted || updated < wanted)
          problems.unshift(`${ready} of ${wanted} are ready, ${updated} are up to date`);
        return listed(problems);
      },
    },
    {
      id: 'weft-agent-every-node',
      description: 'every Linux node has an agent',
      severity: 'warning',
      hint: 'Pods of a node without an agent cannot be in the mesh: look at node selectors and tolerations of the DaemonSet.',
      run: async (facts, signal) => {
        const served = new Set((await facts.agentPods(signal)).map(({ spec }) => spec?.nodeName));
        const without = (await facts.linuxNodes(signal)).filter(({ metadata }) => !served.has(metadata.name));
        return listed(without.map(({ metadata }) => `${metadata.name} has none`));
      },
    },
    {
      id: 'weft-agent-startup-taint',
      description: 'nodes whose agent is ready have lost their start-up taint',
      severity: 'error',
      isRetried: true,
      hint: `Look for WEFT-E123 in the log of the controller that leads. By hand: \`kubectl taint node NAME ${startupTaint}-\`.`,
      run: async (facts, signal) => {
        const agents = (await facts.agentPods(signal)).filter((pod) => isConditionTrue(pod, 'Ready'));
        const served = new Set(agents.map(({ spec }) => spec?.nodeName));
        const kept = (await facts.nodes(signal)).filter(
          ({ metadata, spec }) => served.has(metadata.name) && spec?.taints?.some(({ key }) => key === startupTaint),
        );
        return listed(kept.map(({ metadata }) => `${metadata.name} bears ${startupTaint}`));
      },
    },
  ],
};

function existsCheck(
  check: Pick<Check, 'id' | 'description' | 'severity'> & { readonly paths: (facts: Facts) => readonly string[] },
): Check {
  const { id, description, severity, paths } = check;
  return {
    id,
    description,
    severity,
    hint: installHint,
    run: async (facts, signal) => {
      const missing: string[] = [];
      for (const path of paths(facts))
        if ((await facts.get<KubeObject>(path, signal)) === undefined) missing.push(`${lastPart(path)} does not exist`);
      return listed(missing);
    },
  };
}

function lastPart(path: string): string {
  return path.split('/').slice(-2).join('/');
}

async function ownPods(facts: Facts, signal: AbortSignal): Promise<Pod[]> {
  return [...(await facts.controllerPods(signal)), ...(await facts.agentPods(signal))];
}

function unschedulable(pod: Pod): string[] {
  const condition = pod.status?.conditions?.find(({ type }) => type === 'PodScheduled');
  if (condition?.status !== 'False') return [];
  return [`${nameOf(pod)}: ${condition.message ?? condition.reason ?? 'not scheduled'}`];
}

function notReady(pod: Pod): string[] {
  if (isConditionTrue(pod, 'Ready')) return [];
  const waiting = pod.status?.containerStatuses?.find(({ state }) => state?.waiting !== undefined)?.state?.waiting;
  const why =
    waiting === undefined
      ? (pod.status?.phase ?? 'Unknown')
      : [waiting.reason, waiting.message].filter(Boolean).join(': ');
  return [`${nameOf(pod)} is not ready: ${why}`];
}
