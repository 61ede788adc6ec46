import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import type { AnyRegistry } from '../../admin/registries.ts';
import { parseExposition } from '../../admin/test-exposition.ts';
import type { AgentStatus } from './agent-status.ts';
import { createAgentExpositions } from './exposition.ts';
import type { Family } from './families.ts';
import { families } from './families.ts';
import { addNodeFamilies } from './node-facts.ts';
import { slots } from './series-memory.ts';
import { addWorkerProcesses } from './worker-processes.ts';

const text = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8').replace(
  /^## Families of the controller\n[^]*?(?=^## )/m, // control-plane/metrics-documentation.test.ts
  '',
);

/** Labels that stand for several. */
const groups: Readonly<Record<string, readonly string[]>> = (() => {
  const target = ['target_addr', 'target_ip', 'target_port'];
  const rest = ['tls', 'no_tls_reason', 'client_id', 'server_id'];
  const owners = ['deployment', 'replicaset', 'replicationcontroller', 'statefulset', 'daemonset', 'job'];
  const dst = ['dst_namespace', 'dst_pod', 'dst_pod_template_hash', ...owners.map((kind) => `dst_${kind}`)];
  dst.push('dst_service', 'dst_serviceaccount', 'dst_zone');
  const pod = ['namespace', 'pod', ...owners];
  const reference = (role: string): string[] =>
    ['group', 'kind', 'namespace', 'name', 'port', 'section_name'].map((part) => `${role}_${part}`);
  const route = [...pod, ...reference('parent'), 'route_group', 'route_kind', 'route_namespace', 'route_name'];
  const inbound = [
    'parent_group',
    'parent_kind',
    'parent_name',
    'parent_port',
    'route_group',
    'route_kind',
    'route_name',
  ];
  return {
    POD: pod,
    TARGET: target,
    TRANSPORT: ['direction', ...pod, 'peer', ...target, ...rest, ...dst],
    REQUEST: ['direction', ...pod, 'authority', ...target, ...rest, ...dst],
    INBOUND: [...pod, ...inbound],
    ROUTE: route,
    BACKEND: [...route, ...reference('backend')],
  };
})();

interface Row {
  readonly type: string;
  readonly labels: readonly string[];
}

/** Of the tables whose second column is a type. */
function documented(): Map<string, Row> {
  const rows = new Map<string, Row>();
  for (const [, name = '', type = '', labels = ''] of text.matchAll(/^\| `(\w+)` \| (\w+) \| ([^|]*?) ?\| /gm)) {
    assert.ok(!rows.has(name), `${name} is told of twice`);
    const told = labels.split(', ').filter((label) => label !== '');
    rows.set(name, { type, labels: told.flatMap((label) => groups[label] ?? [label.replaceAll('`', '')]) });
  }
  return rows;
}

test('what workers count is documented, with its labels', () => {
  const rows = documented();
  for (const [name, { type, labels }] of Object.entries<Family>(families)) {
    const row = rows.get(name) ?? assert.fail(`${name} is not documented`);
    assert.equal(row.type, type, name);
    assert.deepEqual([...row.labels].sort(), [...labels].sort(), name);
  }
});

test('all that is told is documented and the other way round, but for what prom-client tells of the process', async () => {
  const status: AgentStatus = {
    hasStarted: true,
    pods: 0,
    workers: { wanted: 1, running: 1, restarts: 0 },
    isDirectoryConnected: true,
    directoryError: undefined,
    knowsMesh: true,
    identities: { isReady: true, identities: [], clockSkewMs: 0, clockError: undefined },
  };
  const features = { btf: true, bpffs: true, cgroup2: true };
  const ofNode = (registry: AnyRegistry): void => {
    addNodeFamilies(registry, () => ({ features, foreignPrograms: [], notMeshable: [] }));
    addWorkerProcesses(registry, () => []);
  };
  let exposed = '';
  for await (const piece of createAgentExpositions([], () => status, ofNode).text.write()) exposed += piece;
  const { types } = parseExposition(exposed, 'text');
  const rows = documented();
  for (const [name, { type }] of rows) assert.equal(types.get(name), type, name);
  const others = [...types.keys()].filter((name) => !rows.has(name));
  assert.deepEqual(
    others.filter((name) => !/^(?:process|nodejs)_/.test(name)),
    [],
  );
});

test('how many series there is room for is told as it is', () => {
  assert.ok(text.includes(`${(slots - 1 - 128).toLocaleString('en')} series sets`));
});

test('every label that a family has is explained', () => {
  const [, table = ''] = /## Labels\n([^]*?)\n## /.exec(text) ?? [];
  const explained = [...table.matchAll(/`([a-z_]+?)(\*?)`/g)].map(([, name = '', star]) => ({
    name,
    isPrefix: star !== '',
  }));
  for (const label of new Set(Object.values<Family>(families).flatMap(({ labels }) => labels)))
    assert.ok(
      ['series', 'reason'].includes(label) ||
        explained.some(({ name, isPrefix }) => (isPrefix ? label.startsWith(name) : label === name)),
      label,
    );
});
