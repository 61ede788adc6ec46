import { judgeEnrolment } from '../../../mesh/enrolment.ts';
import type { Facts, Report } from '../../cluster/facts.ts';
import { valueOf, valuesOf } from '../../cluster/facts.ts';
import type { KubeObject, Pod } from '../../cluster/objects.ts';
import { nameOf } from '../../cluster/objects.ts';
import type { Category, Check } from '../check.ts';
import { listed } from '../check.ts';
import { answersCheck, placeOf, readyCheck, reportCheck } from './reports.ts';

const maximumSkewSeconds = 20;
/** Codes of the installation of the CNI plugin. */
const cniReason = /^WEFT-E13\d /;

/** What agents say of themselves and of their nodes. */
export const dataPlane: Category = {
  id: 'weft-data-plane',
  checks: [
    answersCheck('agents', 'weft-agent-answers'),
    readyCheck('agents', 'weft-agent-works'),
    gaugeCheck({
      id: 'weft-agent-connected',
      description: 'agents are connected to the controller',
      hint: 'Look for WEFT-E306 in the log of the agent; connections that it knows go on meanwhile.',
      isRetried: true,
      metric: 'weft_directory_connected',
      problem: (connected) => (connected === 1 ? undefined : 'it is not connected'),
    }),
    reportCheck('agents', {
      id: 'weft-agent-workers',
      description: 'all workers run',
      severity: 'error',
      isRetried: true,
      hint: 'Look in the log of the agent why workers end.',
      problems: (report) => {
        const of = (state: string) =>
          valuesOf(report, 'weft_workers').find(({ labels }) => labels['state'] === state)?.value;
        const [running, wanted] = [of('running'), of('wanted')];
        if (running === undefined || wanted === undefined) return ['it does not tell of its workers'];
        return running === wanted ? [] : [`${running} of ${wanted} run`];
      },
    }),
    reportCheck('agents', {
      id: 'weft-agent-clock-skew',
      description: 'clocks of nodes and controller agree',
      severity: 'error',
      hint: 'Mend the clock that is wrong (`timedatectl`, chrony): certificates bear 20 s of difference.',
      problems: (report) => {
        const skew = valueOf(report, 'weft_clock_skew_seconds'); // absent until a certificate was asked for
        if (skew === undefined || Math.abs(skew) <= maximumSkewSeconds) return [];
        return [`its clock is ${Math.round(Math.abs(skew))} s ${skew > 0 ? 'ahead of' : 'behind'} the controller's`];
      },
    }),
    reportCheck('agents', {
      id: 'weft-agent-kernel',
      description: 'kernels have what the capture needs',
      severity: 'error',
      hint: 'The kernel needs BTF (CONFIG_DEBUG_INFO_BTF), and bpffs and a cgroup v2 tree must be mounted.',
      problems: (report) => {
        const features = valuesOf(report, 'weft_node_feature');
        if (features.length === 0) return ['it does not tell of its kernel'];
        return features
          .filter(({ value }) => value !== 1)
          .map(({ labels }) => `${labels['feature'] ?? '?'} is missing`);
      },
    }),
    reportCheck('agents', {
      id: 'weft-foreign-programs',
      description: 'no foreign eBPF program translates connections before Weft',
      severity: 'warning',
      hint: 'See WEFT-E103: `bpftool prog show id ID` on the node tells whose it is. With Cilium set socketLB.hostNamespaceOnly=true.',
      problems: (report) => {
        if (valueOf(report, 'weft_foreign_programs') === undefined) return ['it does not tell of other programs'];
        return valuesOf(report, 'weft_foreign_program_info').map(
          ({ labels: { name = '?', id = '?', attach_type = '?', cgroup = '?' } }) =>
            `program ${name} (id ${id}) at ${attach_type} of ${cgroup}`,
        );
      },
    }),
    reportCheck('agents', {
      id: 'weft-cni-chain',
      description: 'CNI chains of nodes call Weft',
      severity: 'error',
      isRetried: true,
      hint: 'The code says more in docs/errors.md; until it is mended, new pods join a moment after their start.',
      problems: (report) => {
        if (valueOf(report, 'weft_cni_repairs') === undefined) return ['it looks after no CNI chain (--cni-conf-dir)'];
        return report.reasons.filter((reason) => cniReason.test(reason));
      },
    }),
    {
      id: 'weft-pods-captured',
      description: 'opted-in pods are in the mesh',
      severity: 'error',
      isRetried: true,
      hint: 'Look for "pod is not meshable" in the log of the agent; the code says why.',
      run: podsCaptured,
    },
  ],
};

async function podsCaptured(facts: Facts, signal: AbortSignal): Promise<string | undefined> {
  const { told } = await facts.agents(signal);
  if (told.length === 0) return 'no agent could be asked';
  const wanted = await wantedPods(facts, signal);
  const problems = told.flatMap((report) => {
    const place = report.pod.spec?.nodeName ?? '';
    const pods = wanted.get(place) ?? [];
    wanted.delete(place);
    return pods.length === 0 ? [] : missingOn(report, pods);
  });
  for (const [node, pods] of wanted) problems.push(...pods.map((pod) => `${nameOf(pod)}: no agent answers on ${node}`));
  return listed(problems);
}

function missingOn(report: Report, pods: readonly Pod[]): string[] {
  const refused = valuesOf(report, 'weft_pod_not_meshable').map(
    ({ labels: { namespace = '?', pod = '?', code = '?' } }) => `${namespace}/${pod} on ${placeOf(report)}: ${code}`,
  );
  const captured = valueOf(report, 'weft_pods');
  if (captured === undefined) return [`${placeOf(report)}: it does not tell how many pods it captures`];
  if (refused.length === 0 && captured < pods.length)
    return [`${placeOf(report)}: ${captured} of ${pods.length} pods are captured`];
  return refused;
}

/** By node: those that are to be in the mesh and run. */
async function wantedPods(facts: Facts, signal: AbortSignal): Promise<Map<string, Pod[]>> {
  const namespaces = new Map(
    (await facts.list<KubeObject>('/api/v1/namespaces', signal)).map((namespace) => [
      namespace.metadata.name,
      namespace,
    ]),
  );
  const wanted = new Map<string, Pod[]>();
  for (const pod of await facts.list<Pod>('/api/v1/pods', signal)) {
    const node = pod.spec?.nodeName;
    if (node === undefined || pod.status?.phase !== 'Running' || pod.metadata.deletionTimestamp !== undefined) continue;
    const namespace = namespaces.get(pod.metadata.namespace ?? '');
    if (namespace === undefined || !isWanted(namespace, pod, facts.namespace)) continue;
    wanted.set(node, [...(wanted.get(node) ?? []), pod]);
  }
  return wanted;
}

export function isWanted(namespace: KubeObject, pod: Pod, ownNamespace: string): boolean {
  const { name, labels = {}, annotations = {} } = namespace.metadata;
  const { spec, status, metadata } = pod;
  return judgeEnrolment(
    { name, labels, annotations },
    {
      namespace: name,
      labels: metadata.labels ?? {},
      annotations: metadata.annotations ?? {},
      hostNetwork: spec?.hostNetwork ?? false,
      phase: status?.phase ?? '',
      containers: [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])],
    },
    ownNamespace,
  ).meshed;
}

function gaugeCheck(
  check: Omit<Check, 'run' | 'severity'> & {
    readonly metric: string;
    readonly problem: (value: number) => string | undefined;
  },
): Check {
  const { metric, problem, ...rest } = check;
  return reportCheck('agents', {
    ...rest,
    severity: 'error',
    problems: (report) => {
      const value = valueOf(report, metric);
      const found = value === undefined ? `it does not tell ${metric}` : problem(value);
      return found === undefined ? [] : [found];
    },
  });
}
