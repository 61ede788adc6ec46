import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, renameSync, rmSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import type { SourceObject } from '../../mesh/objects.ts';
import { objectKey } from '../../mesh/objects.ts';
import { ManifestSource } from './manifests.ts';
import type { Delta } from './source.ts';

const namespace = (name: string, labels = '{}'): string =>
  `apiVersion: v1\nkind: Namespace\nmetadata: { name: ${name}, labels: ${labels} }\n`;
const pod = (
  uid: string,
  spec = '{ nodeName: here, containers: [{ name: app, ports: [{ containerPort: 80 }] }] }',
): string =>
  `kind: Pod\nmetadata: { uid: ${uid}, name: web, namespace: shop }\nspec: ${spec}\nstatus: { phase: Running, podIPs: [{ ip: 10.0.0.7 }] }\n`;

/** With the objects that its deltas make. */
class ListedSource extends ManifestSource {
  readonly objects = new Map<string, SourceObject>();

  constructor(folder: string) {
    super(folder);
    this.onDeltas((deltas) => {
      for (const { type, object } of deltas) {
        if (type === 'upsert') this.objects.set(objectKey(object), object);
        else this.objects.delete(objectKey(object));
      }
    });
  }
}

interface Started {
  readonly source: ListedSource;
  readonly folder: string;
  readonly write: (name: string, ...documents: string[]) => void;
  /** How many changes have been told. */
  readonly changes: () => number;
}

async function start(t: TestContext, files: Record<string, string> = {}): Promise<Started> {
  const folder = join(mkdtempSync(join(tmpdir(), 'weft-manifests-')), 'manifests');
  mkdirSync(folder);
  const write = (name: string, ...documents: string[]): void =>
    writeFileSync(join(folder, name), documents.join('---\n'));
  for (const [name, content] of Object.entries(files)) write(name, content);
  const source = new ListedSource(folder);
  let changes = 0;
  source.onChange(() => changes++);
  const stop = new AbortController();
  t.after(() => {
    stop.abort();
    rmSync(join(folder, '..'), { recursive: true, force: true });
  });
  await source.start(stop.signal);
  return { source, folder, write, changes: () => changes };
}

/** Resolves to the milliseconds that it took; fails after the deadline. */
async function until(condition: () => boolean, deadlineMs: number, what: string): Promise<number> {
  const begun = performance.now();
  while (!condition()) {
    if (performance.now() - begun > deadlineMs) assert.fail(`after ${deadlineMs} ms: ${what}`);
    await delay(2);
  }
  return performance.now() - begun;
}

const uids = ({ objects }: ListedSource): string[] =>
  [...objects.values()].flatMap(({ kind, value }) => (kind === 'Pod' ? [value.uid] : [])).sort();

test('all that exists is told when start resolves', async (t) => {
  const { source } = await start(t, {
    'a.yaml': `${namespace('shop', '{ weft.dev/mesh: enabled }')}---\n${pod('u1')}---\nkind: Secret\n`,
    'b.yml': pod('u2'),
    'ignored.txt': pod('u3'),
    '.hidden.yaml': pod('u4'),
  });
  assert.deepEqual(uids(source), ['u1', 'u2']);
  assert.deepEqual(source.objects.get('Namespace/shop')?.value, {
    name: 'shop',
    labels: { 'weft.dev/mesh': 'enabled' },
    annotations: {},
  });
  assert.deepEqual(source.objects.get('Pod/u1')?.value, {
    uid: 'u1',
    name: 'web',
    namespace: 'shop',
    labels: {},
    annotations: {},
    nodeName: 'here',
    serviceAccount: 'default',
    owner: undefined,
    hostNetwork: false,
    phase: 'Running',
    containers: [{ name: 'app', ports: [80] }],
    hostPorts: [],
    addresses: ['10.0.0.7'],
    createdAt: 0,
    deleting: false,
    ready: false,
  });
  assert.deepEqual(source.problems(), []);
});

test("ports of its node that lead to a pod are told, unless it uses the node's network", async (t) => {
  const ports = [
    '{ containerPort: 80, hostPort: 8099 }',
    '{ containerPort: 81, hostPort: 8098, hostIP: 0.0.0.0 }',
    '{ containerPort: 82, hostPort: 8097, hostIP: 192.0.2.1 }',
    '{ containerPort: 83, hostPort: 8096, protocol: UDP }',
    '{ containerPort: 84 }',
  ].join(', ');
  const spec = (hostNetwork: boolean): string =>
    `{ hostNetwork: ${hostNetwork}, containers: [{ name: app, ports: [${ports}] }] }`;
  const { source } = await start(t, { 'a.yaml': pod('u1', spec(false)), 'b.yaml': pod('u2', spec(true)) });
  assert.deepEqual(source.problems(), []);
  const found = [...source.objects.values()].map((one) => (one.kind === 'Pod' ? one.value.hostPorts : undefined));
  assert.deepEqual(found, [
    [
      { port: 8099, containerPort: 80, address: '' },
      { port: 8098, containerPort: 81, address: '' },
      { port: 8097, containerPort: 82, address: '192.0.2.1' },
    ],
    [],
  ]);
});

test('a new, a changed, a replaced and a removed file are each noticed within 100 ms', async (t) => {
  const { source, folder, write } = await start(t);
  write('a.yaml', pod('u1'));
  await until(() => uids(source).join() === 'u1', 100, 'a new file is not noticed');
  write('a.yaml', pod('u2'));
  await until(() => uids(source).join() === 'u2', 100, 'a changed file is not noticed');
  write('a.tmp', pod('u3'));
  renameSync(join(folder, 'a.tmp'), join(folder, 'a.yaml'));
  await until(() => uids(source).join() === 'u3', 100, 'a replaced file is not noticed');
  unlinkSync(join(folder, 'a.yaml'));
  await until(() => uids(source).length === 0, 100, 'a removed file is not noticed');
});

test('fifty changes of one size, one after the other, all end in the last', async (t) => {
  const { source, write } = await start(t);
  for (let round = 10; round < 60; round++) {
    write('a.yaml', pod(`u${round}`));
    await delay(round % 7);
  }
  await until(() => uids(source).join() === 'u59', 100, 'the last change is lost');
});

test('an editor that moves or empties the file before it writes it loses no object', async (t) => {
  const { source, folder, write } = await start(t, { 'a.yaml': pod('u1') });
  const seen = new Set<string>();
  source.onChange(() => seen.add(uids(source).join()));
  renameSync(join(folder, 'a.yaml'), join(folder, 'a.yaml~'));
  await delay(25);
  write('a.yaml', pod('u1'), pod('u2'));
  await until(() => uids(source).length === 2, 100, 'the file that came back is not noticed');
  truncateSync(join(folder, 'a.yaml'));
  await delay(25);
  write('a.yaml', pod('u1'), pod('u2'), pod('u3'));
  await until(() => uids(source).length === 3, 100, 'the file that was filled is not noticed');
  assert.ok(![...seen].some((state) => !state.includes('u1')), `pods were lost meanwhile: ${[...seen].join(' | ')}`);
  truncateSync(join(folder, 'a.yaml'));
  await until(() => uids(source).length === 0, 100, 'a file that stays empty says nothing any more');
});

test('a bad document is reported with file, line and field, and the others count', async (t) => {
  const { source, folder } = await start(t, {
    'a.yaml': `${pod('u1')}---\nkind: Pod\nmetadata: { uid: u2, name: 7 }\n---\n${pod('u3')}`,
    'b.yaml': pod('u4', '{ containers: [{ name: app, ports: [{ containerPort: 70000 }] }] }'),
    'c.yaml': 'kind: [unclosed\n',
  });
  assert.deepEqual(uids(source), ['u1', 'u3']);
  const messages = source.problems().map((problem) => problem.message.replace(folder, ''));
  assert.equal(messages.length, 3);
  assert.match(messages[0] ?? '', /^\/a\.yaml:6: metadata\.name must be a string$/);
  assert.match(messages[1] ?? '', /^\/b\.yaml:1: spec\.containers\[0\]\.ports\[0\]\.containerPort must be a port$/);
  assert.match(messages[2] ?? '', /^\/c\.yaml:1: /);
});

test('a file that breaks keeps what it said until it is whole again', async (t) => {
  const { source, write, changes } = await start(t, { 'a.yaml': `${namespace('shop')}---\n${pod('u1')}` });
  const before = changes();
  write('a.yaml', namespace('shop'), 'kind: Pod\nmetadata: { uid: [\n');
  await until(() => source.problems().length === 1, 100, 'the fault is not noticed');
  assert.deepEqual(uids(source), ['u1']);
  assert.ok(changes() > before, 'a listener must hear of a new problem');
  write('a.yaml', namespace('shop'), pod('u2'));
  await until(() => source.problems().length === 0, 100, 'the repair is not noticed');
  assert.deepEqual(uids(source), ['u2']);
});

test('a name that is no file is reported once and does not block', async (t) => {
  const { source, folder, write, changes } = await start(t);
  mkdirSync(join(folder, 'folder.yaml'));
  await until(() => source.problems().length === 1, 100, 'the folder is not reported');
  write('a.yaml', pod('u1'));
  await until(() => uids(source).length === 1, 100, 'the file beside it is not read');
  const told = changes();
  await delay(1200); // one periodic rescan
  assert.equal(changes(), told);
});

test('the folder may be removed and made anew', async (t) => {
  const { source, folder, write } = await start(t, { 'a.yaml': pod('u1') });
  rmSync(folder, { recursive: true });
  await until(() => source.problems().length > 0, 1500, 'the missing folder is not reported');
  assert.deepEqual(uids(source), ['u1'], 'objects stay in force while the folder is missing');
  mkdirSync(folder);
  write('b.yaml', pod('u2'));
  await until(() => uids(source).join() === 'u2', 1500, 'the new folder is not read');
  assert.deepEqual(source.problems(), []);
  write('b.yaml', pod('u3'));
  await until(() => uids(source).join() === 'u3', 100, 'the new folder is not watched');
});

test('nothing is told after the signal', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'weft-manifests-'));
  const source = new ManifestSource(folder);
  const stop = new AbortController();
  let changes = 0;
  source.onChange(() => changes++);
  await source.start(stop.signal);
  stop.abort();
  writeFileSync(join(folder, 'a.yaml'), pod('u1'));
  await delay(100);
  assert.equal(changes, 0);
  rmSync(folder, { recursive: true });
});

const services = `apiVersion: v1
kind: ServiceAccount
metadata: { name: web, namespace: shop }
---
kind: Service
metadata: { name: web, namespace: shop }
spec: { sessionAffinity: ClientIP, clusterIP: 10.96.0.1, clusterIPs: [10.96.0.1, 'FD00:0::1'], ports: [{ name: http, port: 80, targetPort: web, nodePort: 30080 }, { port: 53, protocol: UDP }] }
---
kind: Service
metadata: { name: headless }
spec: { clusterIP: None, internalTrafficPolicy: Local }
---
kind: EndpointSlice
addressType: IPv4
metadata: { name: web-1, namespace: shop, labels: { kubernetes.io/service-name: web } }
ports: [{ name: http, port: 8080 }, { name: all }]
endpoints:
  - { addresses: [10.0.0.7], nodeName: n1, zone: z, targetRef: { kind: Pod, name: web } }
  - { addresses: [10.0.0.8], conditions: { ready: false, serving: true, terminating: true } }
`;

test('services, endpoints and accounts are told as deltas, each change once', async (t) => {
  const { source, write } = await start(t);
  const deltas: Delta[] = [];
  source.onDeltas((some) => deltas.push(...some));
  write('a.yaml', services, pod('u1'));
  await until(() => deltas.length === 5, 100, 'not everything is told');
  assert.deepEqual(source.problems(), []);
  const values = deltas.map(({ type, object }) => ({ type, ...object }));
  const upsert = 'upsert';
  assert.deepEqual(values.slice(0, 4), [
    { type: upsert, kind: 'ServiceAccount', value: { namespace: 'shop', name: 'web' } },
    {
      type: upsert,
      kind: 'Service',
      value: {
        namespace: 'shop',
        name: 'web',
        annotations: {},
        addresses: ['10.96.0.1', 'fd00::1'],
        ports: [
          { name: 'http', port: 80, protocol: 'TCP', targetPort: 'web', nodePort: 30080, appProtocol: '' },
          { name: '', port: 53, protocol: 'UDP', targetPort: 53, nodePort: 0, appProtocol: '' },
        ],
        sessionAffinity: true,
        nodeLocal: false,
      },
    },
    {
      type: upsert,
      kind: 'Service',
      value: {
        namespace: 'default',
        name: 'headless',
        annotations: {},
        addresses: [],
        ports: [],
        sessionAffinity: false,
        nodeLocal: true,
      },
    },
    {
      type: upsert,
      kind: 'EndpointSlice',
      value: {
        namespace: 'shop',
        name: 'web-1',
        service: 'web',
        ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
        endpoints: [
          {
            addresses: ['10.0.0.7'],
            ready: true,
            serving: true,
            terminating: false,
            isPod: true,
            nodeName: 'n1',
            zone: 'z',
          },
          {
            addresses: ['10.0.0.8'],
            ready: false,
            serving: true,
            terminating: true,
            isPod: false,
            nodeName: '',
            zone: '',
          },
        ],
      },
    },
  ]);
  deltas.length = 0;
  write('a.yaml', services, pod('u2'));
  await until(() => deltas.length > 0, 100, 'the change is not told');
  assert.deepEqual(
    deltas.map(({ type, object }) => `${type} ${objectKey(object)}`),
    ['delete Pod/u1', 'upsert Pod/u2'],
  );
});

test('a bad service or slice is reported with its field', async (t) => {
  const { source, folder } = await start(t, {
    'a.yaml': services.replace('port: 80,', 'port: 0,'),
    'b.yaml': services.replace('addresses: [10.0.0.8]', 'addresses: [10.0.0.256]'),
    'c.yaml': services.replace('kubernetes.io/service-name', 'something-else'),
  });
  assert.deepEqual(
    source.problems().map((problem) => problem.message.replace(`${folder}/`, '')),
    [
      'a.yaml:5: spec.ports[0].port must be a port',
      'b.yaml:13: endpoints[1].addresses[0]: "10.0.0.256" is not an IP address',
      'c.yaml:13: metadata.labels["kubernetes.io/service-name"] must be a string',
    ],
  );
});
