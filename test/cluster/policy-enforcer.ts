import type { Cluster } from './cluster.ts';
import type { Labels, NetworkPolicy, PolicyObjects, PolicyPod } from './network-policies.ts';
import { rulesetOf } from './network-policies.ts';

interface KubernetesPod {
  readonly metadata: { readonly namespace: string; readonly labels?: Labels };
  readonly spec: {
    readonly nodeName?: string;
    readonly hostNetwork?: boolean;
    readonly containers: readonly { readonly ports?: PolicyPod['ports'] }[];
  };
  readonly status: { readonly phase: string; readonly podIP?: string };
}

/** Has the nodes enforce the NetworkPolicies that are there: the bridge plugin does not. */
export async function enforcePolicies(cluster: Cluster): Promise<void> {
  const objects = await policyObjects(cluster);
  for (const node of cluster.nodes)
    await node.machine.must(['nft', '-f', '-'], { input: rulesetOf(node.name, objects) });
}

async function policyObjects(cluster: Cluster): Promise<PolicyObjects> {
  const list = async <Item>(kind: string): Promise<Item[]> => {
    const text = await cluster.kubectl(['get', kind, '--all-namespaces', '-o', 'json']);
    return (JSON.parse(text) as { items: Item[] }).items;
  };
  const [policies, pods, namespaces] = await Promise.all([
    list<NetworkPolicy>('networkpolicies'),
    list<KubernetesPod>('pods'),
    list<{ metadata: { name: string; labels?: Labels } }>('namespaces'),
  ]);
  return {
    policies,
    pods: pods.flatMap(podOf),
    namespaces: new Map(namespaces.map(({ metadata }) => [metadata.name, metadata.labels ?? {}])),
  };
}

/** None where it has no address of its own. */
function podOf({ metadata, spec, status }: KubernetesPod): PolicyPod[] {
  const hasEnded = status.phase === 'Succeeded' || status.phase === 'Failed';
  if (spec.hostNetwork === true || hasEnded || status.podIP === undefined || spec.nodeName === undefined) return [];
  return [
    {
      namespace: metadata.namespace,
      labels: metadata.labels ?? {},
      node: spec.nodeName,
      address: status.podIP,
      ports: spec.containers.flatMap(({ ports = [] }) => ports),
    },
  ];
}
