/** NetworkPolicy objects as nftables rules of one node: what a CNI with policies would put there. Nothing of Weft is in here. */

export type Labels = Readonly<Record<string, string>>;

export interface LabelSelector {
  readonly matchLabels?: Labels;
  readonly matchExpressions?: readonly {
    readonly key: string;
    readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
    readonly values?: readonly string[];
  }[];
}

export interface PolicyPeer {
  readonly podSelector?: LabelSelector;
  readonly namespaceSelector?: LabelSelector;
  readonly ipBlock?: { readonly cidr: string; readonly except?: readonly string[] };
}

export interface PolicyPort {
  readonly protocol?: 'TCP' | 'UDP' | 'SCTP';
  readonly port?: number | string;
  readonly endPort?: number;
}

export interface NetworkPolicy {
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly spec: {
    readonly podSelector: LabelSelector;
    readonly policyTypes?: readonly ('Ingress' | 'Egress')[];
    readonly ingress?: readonly { readonly from?: readonly PolicyPeer[]; readonly ports?: readonly PolicyPort[] }[];
    readonly egress?: readonly { readonly to?: readonly PolicyPeer[]; readonly ports?: readonly PolicyPort[] }[];
  };
}

export interface PolicyPod {
  readonly namespace: string;
  readonly labels: Labels;
  readonly node: string;
  readonly address: string;
  readonly ports: readonly { readonly name?: string; readonly containerPort: number; readonly protocol?: string }[];
}

export interface PolicyObjects {
  readonly policies: readonly NetworkPolicy[];
  readonly pods: readonly PolicyPod[];
  readonly namespaces: ReadonlyMap<string, Labels>;
}

interface Rule {
  readonly peers: readonly PolicyPeer[] | undefined;
  readonly ports: readonly PolicyPort[] | undefined;
}

type Direction = 'ingress' | 'egress';

const table = 'inet weft-test-policies';

/** A whole ruleset for `nft -f`, which takes the place of an earlier one at once. */
export function rulesetOf(node: string, objects: PolicyObjects): string {
  const local = objects.pods.filter((pod) => pod.node === node);
  const chains: string[] = [];
  const jumps = { ingress: [] as string[], egress: [] as string[] };
  for (const [index, pod] of local.entries()) {
    for (const direction of ['ingress', 'egress'] as const) {
      const rules = rulesFor(pod, direction, objects);
      if (rules === undefined) continue;
      const chain = `${direction}-${index}`;
      const lines = rules.flatMap((rule) => linesOf(rule, pod, direction, objects));
      chains.push(`  chain ${chain} {\n${[...lines, 'drop'].map((line) => `    ${line}\n`).join('')}  }\n`);
      jumps[direction].push(`    ip ${direction === 'ingress' ? 'daddr' : 'saddr'} ${pod.address} jump ${chain}\n`);
    }
  }
  const accept = '    ct state established,related accept\n';
  // Between pods of a node too: br_netfilter shows bridged packets to this hook. The node itself may always enter its pods.
  return [
    `table ${table}\ndelete table ${table}\n`,
    `table ${table} {\n`,
    ...chains,
    `  chain forward {\n    type filter hook forward priority filter\n${accept}`,
    ...jumps.egress,
    ...jumps.ingress,
    `  }\n  chain input {\n    type filter hook input priority filter\n${accept}`,
    ...jumps.egress,
    '  }\n}\n',
  ].join('');
}

/** Undefined where no policy isolates the pod in that direction. */
function rulesFor(pod: PolicyPod, direction: Direction, { policies }: PolicyObjects): Rule[] | undefined {
  const type = direction === 'ingress' ? 'Ingress' : 'Egress';
  const selecting = policies.filter(
    ({ metadata, spec }) =>
      metadata.namespace === pod.namespace &&
      matches(spec.podSelector, pod.labels) &&
      (spec.policyTypes ?? (spec.egress === undefined ? ['Ingress'] : ['Ingress', 'Egress'])).includes(type),
  );
  if (selecting.length === 0) return undefined;
  return selecting.flatMap(({ metadata, spec }) =>
    direction === 'ingress'
      ? (spec.ingress ?? []).map(({ from, ports }) => ({ peers: within(metadata.namespace, from), ports }))
      : (spec.egress ?? []).map(({ to, ports }) => ({ peers: within(metadata.namespace, to), ports })),
  );
}

const ownNamespace = 'kubernetes.io/metadata.name';

/** A peer that names no namespaces means the policy's own. */
function within(namespace: string, peers: readonly PolicyPeer[] | undefined): PolicyPeer[] | undefined {
  if (peers === undefined || peers.length === 0) return undefined;
  return peers.map((peer) =>
    peer.ipBlock !== undefined || peer.namespaceSelector !== undefined
      ? peer
      : { ...peer, namespaceSelector: { matchLabels: { [ownNamespace]: namespace } } },
  );
}

function linesOf(rule: Rule, pod: PolicyPod, direction: Direction, objects: PolicyObjects): string[] {
  const far = direction === 'ingress' ? 'saddr' : 'daddr';
  const ports = rule.ports === undefined || rule.ports.length === 0 ? [undefined] : rule.ports;
  return ports.flatMap((port) => {
    const isNamed = typeof port?.port === 'string';
    if (rule.peers === undefined && !(isNamed && direction === 'egress'))
      return portMatches(port, pod).map((match) => `${match}return`.trim());
    const peers = rule.peers ?? [{ namespaceSelector: {}, podSelector: {} }];
    return peers.flatMap((peer) => {
      if (peer.ipBlock !== undefined) {
        const except = (peer.ipBlock.except ?? []).map((cidr) => `ip ${far} != ${cidr} `).join('');
        return portMatches(port, pod).map((match) => `ip ${far} ${peer.ipBlock?.cidr} ${except}${match}return`);
      }
      // A port's name means what the pod at the server's end calls so.
      return selected(peer, objects).flatMap((other) =>
        portMatches(port, direction === 'ingress' ? pod : other).map(
          (match) => `ip ${far} ${other.address} ${match}return`,
        ),
      );
    });
  });
}

function selected(peer: PolicyPeer, { pods, namespaces }: PolicyObjects): PolicyPod[] {
  return pods.filter(
    (pod) =>
      matches(peer.namespaceSelector ?? {}, namespaces.get(pod.namespace) ?? {}) &&
      matches(peer.podSelector ?? {}, pod.labels),
  );
}

/** None where the server has no port of that name. */
function portMatches(wanted: PolicyPort | undefined, server: PolicyPod): string[] {
  if (wanted === undefined) return [''];
  const { protocol = 'TCP', port, endPort } = wanted;
  const name = protocol.toLowerCase();
  if (port === undefined) return [`meta l4proto ${name} `];
  if (typeof port === 'number') return [`${name} dport ${port}${endPort === undefined ? '' : `-${endPort}`} `];
  return server.ports
    .filter((one) => one.name === port && (one.protocol ?? 'TCP') === protocol)
    .map(({ containerPort }) => `${name} dport ${containerPort} `);
}

export function matches(selector: LabelSelector, labels: Labels): boolean {
  const hasLabels = Object.entries(selector.matchLabels ?? {}).every(([key, value]) => labels[key] === value);
  return (
    hasLabels &&
    (selector.matchExpressions ?? []).every(({ key, operator, values = [] }) => {
      const value = labels[key];
      switch (operator) {
        case 'In':
          return value !== undefined && values.includes(value);
        case 'NotIn':
          return value === undefined || !values.includes(value);
        case 'Exists':
          return value !== undefined;
        case 'DoesNotExist':
          return value === undefined;
      }
    })
  );
}
