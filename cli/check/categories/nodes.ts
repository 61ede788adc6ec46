import type { Facts } from '../../cluster/facts.ts';
import type { ConfigMap, KubeObject, Lease, Node } from '../../cluster/objects.ts';
import { isConditionTrue } from '../../cluster/objects.ts';
import { architecture, minimumKernel } from '../../installation.ts';
import type { Category, Check } from '../check.ts';
import { listed } from '../check.ts';
import { isAtLeast } from './kubernetes.ts';

const leasePath = '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases';
/** A kubelet renews its Lease every 10 s and is taken for dead after 40; certificates bear 20 s. */
const aheadMs = 20_000;
const behindMs = 60_000;

const clockSkew: Check = {
  id: 'pre-k8s-clock-skew',
  description: 'no clock skew detected',
  severity: 'warning',
  hint: 'Mend the clock of the node (`timedatectl`, chrony): certificates bear 20 s of difference.',
  run: async (facts, signal) => {
    const ready = new Set((await facts.nodes(signal)).filter((node) => isConditionTrue(node, 'Ready')).map(nameOfNode));
    const leases = (await facts.cluster.list<Lease>(leasePath, signal)).filter(({ metadata }) =>
      ready.has(metadata.name),
    );
    const now = await facts.cluster.now(signal);
    if (leases.length === 0) return 'no node that is Ready renews a Lease in kube-node-lease';
    return listed(
      leases.flatMap(({ metadata, spec }) => {
        const differenceMs = Date.parse(spec?.renewTime ?? '') - now;
        if (Number.isNaN(differenceMs)) return [`${metadata.name} has a Lease without a time`];
        if (differenceMs > aheadMs) return [`${metadata.name} is ${seconds(differenceMs)} ahead of the API server`];
        if (differenceMs < -behindMs)
          return [`${metadata.name} is ${seconds(-differenceMs)} behind the API server, or its kubelet is silent`];
        return [];
      }),
    );
  },
};

const noLinuxNode = 'there is no Linux node';

const linuxNodes: Check = {
  id: 'node-linux',
  description: 'there are Linux nodes',
  severity: 'error',
  hint: 'Agents run on Linux only; nodes of other systems stay outside the mesh.',
  run: async (facts, signal) => ((await facts.linuxNodes(signal)).length > 0 ? undefined : noLinuxNode),
};

const kernel = nodeCheck({
  id: 'node-kernel',
  description: `nodes run Linux ${minimumKernel.major}.${minimumKernel.minor} or newer`,
  hint: 'Give the node a newer kernel, or keep agents away from it with a node selector.',
  problem: ({ status }) => {
    const version = status?.nodeInfo?.kernelVersion ?? '';
    return isAtLeast(version, minimumKernel) ? undefined : `runs ${version || 'an unknown kernel'}`;
  },
});

const processors = nodeCheck({
  id: 'node-architecture',
  description: `nodes are ${architecture}`,
  hint: `Weft is built for ${architecture} so far; keep agents away from other nodes with a node selector.`,
  problem: ({ status }) => {
    const found = status?.nodeInfo?.architecture ?? 'of unknown architecture';
    return found === architecture ? undefined : `is ${found}`;
  },
});

const ciliumSockets: Check = {
  id: 'node-cilium-socket-lb',
  description: 'no eBPF data plane translates connections before Weft',
  severity: 'error',
  hint: 'Set socketLB.hostNamespaceOnly=true in the values of Cilium and restart its agents.',
  run: async (facts, signal) => {
    const settings = (await ciliumConfig(facts, signal))?.data;
    if (settings === undefined) return undefined;
    const isOn =
      settings['bpf-lb-sock'] === 'true' || ['true', 'strict'].includes(settings['kube-proxy-replacement'] ?? '');
    if (!isOn || settings['bpf-lb-sock-hostns-only'] === 'true') return undefined;
    return "Cilium's socket load balancer is on in the network namespaces of pods";
  },
};

const ciliumExclusive: Check = {
  id: 'node-cilium-exclusive',
  description: 'no CNI plugin takes out the entries of others',
  severity: 'error',
  hint: 'Set cni.exclusive=false in the values of Cilium.',
  run: async (facts, signal) => {
    const settings = (await ciliumConfig(facts, signal))?.data;
    if (settings === undefined || settings['cni-exclusive'] === 'false') return undefined;
    return 'Cilium is exclusive: it renames CNI configurations that are not its own';
  },
};

const otherMesh: Check = {
  id: 'node-other-mesh',
  description: 'no other mesh captures on the nodes',
  severity: 'warning',
  hint: 'Pods of namespaces that carry istio.io/dataplane-mode=ambient must not be opted in to Weft as well.',
  run: async (facts, signal) => {
    const sets = await facts.list<KubeObject>('/apis/apps/v1/daemonsets', signal);
    const found = sets.filter(({ metadata }) => ['ztunnel', 'istio-cni-node'].includes(metadata.name));
    return listed(found.map(({ metadata }) => `DaemonSet ${metadata.namespace ?? ''}/${metadata.name} is of Istio`));
  },
};

/** What can be known of nodes from the API server alone, so before an installation as well as after. */
export const nodes: Category = {
  id: 'weft-nodes',
  checks: [linuxNodes, kernel, processors, ciliumSockets, ciliumExclusive, otherMesh, clockSkew],
};

function ciliumConfig(facts: Facts, signal: AbortSignal): Promise<ConfigMap | undefined> {
  return facts.get<ConfigMap>('/api/v1/namespaces/kube-system/configmaps/cilium-config', signal);
}

function nodeCheck(check: {
  readonly id: string;
  readonly description: string;
  readonly hint: string;
  readonly problem: (node: Node) => string | undefined;
}): Check {
  const { id, description, hint, problem } = check;
  return {
    id,
    description,
    hint,
    severity: 'error',
    run: async (facts, signal) => {
      const found = await facts.linuxNodes(signal);
      if (found.length === 0) return noLinuxNode;
      const problems = found.flatMap((node) => {
        const what = problem(node);
        return what === undefined ? [] : [`${node.metadata.name} ${what}`];
      });
      return listed(problems);
    },
  };
}

function nameOfNode({ metadata }: Node): string {
  return metadata.name;
}

function seconds(milliseconds: number): string {
  return `${Math.round(milliseconds / 1000)} s`;
}
