import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import { run } from '../lab/command.ts';
import type { NetworkPolicy, PolicyPod } from './network-policies.ts';
import { matches, rulesetOf } from './network-policies.ts';

const namespaces = new Map([
  ['red', { 'kubernetes.io/metadata.name': 'red', team: 'a' }],
  ['blue', { 'kubernetes.io/metadata.name': 'blue' }],
]);

function pod(address: string, app: string, namespace = 'red'): PolicyPod {
  const ports = [{ name: 'web', containerPort: app === 'old' ? 8000 : 9000 }];
  return { namespace, labels: { app }, node: 'node1', address, ports };
}

function policy(spec: NetworkPolicy['spec']): NetworkPolicy {
  return { metadata: { name: 'one', namespace: 'red' }, spec };
}

/** The rules of the first chain that a policy makes, as nft has understood them. */
async function rulesOf(spec: NetworkPolicy['spec'], pods: readonly PolicyPod[]): Promise<string[]> {
  const input = rulesetOf('node1', { policies: [policy(spec)], pods, namespaces });
  const command = ['unshare', '--net', 'sh', '-c', 'nft -f - && nft list ruleset'];
  const { code, stdout, stderr } = await run(command, { input });
  assert.equal(code, 0, `${stderr}${input}`);
  const lines = stdout.split('\n').map((line) => line.trim());
  const first = lines.findIndex((line) => line.startsWith('chain '));
  return lines.slice(first + 1, lines.indexOf('}', first));
}

suite('rules of NetworkPolicies', () => {
  test('a pod that no policy selects has none', () => {
    const ruleset = rulesetOf('node1', {
      policies: [policy({ podSelector: { matchLabels: { app: 'x' } } })],
      pods: [pod('10.0.0.1', 'new'), pod('10.0.0.2', 'x', 'blue')],
      namespaces,
    });
    assert.doesNotMatch(ruleset, /10\.0\.0\./);
  });

  test('only the node of a pod enforces what selects it', () => {
    const objects = { policies: [policy({ podSelector: {} })], pods: [pod('10.0.0.1', 'new')], namespaces };
    assert.match(rulesetOf('node1', objects), /ip daddr 10\.0\.0\.1 jump/);
    assert.doesNotMatch(rulesetOf('node2', objects), /10\.0\.0\.1/);
  });

  test('blocks with exceptions, ranges of ports', async () => {
    const ingress = [
      { from: [{ ipBlock: { cidr: '10.0.0.0/8', except: ['10.1.0.0/16'] } }], ports: [{ port: 80, endPort: 90 }] },
    ];
    assert.deepEqual(await rulesOf({ podSelector: {}, ingress }, [pod('10.0.0.1', 'new')]), [
      'ip saddr 10.0.0.0/8 ip saddr != 10.1.0.0/16 tcp dport 80-90 return',
      'drop',
    ]);
  });

  test("a port's name is that of the server's end", async () => {
    const pods = [pod('10.0.0.1', 'new'), pod('10.0.0.2', 'old')];
    const ports = [{ port: 'web' }];
    const selector = { podSelector: { matchLabels: { app: 'new' } } };
    assert.deepEqual(await rulesOf({ ...selector, ingress: [{ ports }] }, pods), ['tcp dport 9000 return', 'drop']);
    const egress = [{ to: [{ podSelector: { matchLabels: { app: 'old' } } }], ports }];
    assert.deepEqual(await rulesOf({ ...selector, policyTypes: ['Egress'], egress }, pods), [
      'ip daddr 10.0.0.2 tcp dport 8000 return',
      'drop',
    ]);
  });

  test('peers are those of the own namespace where none is named', async () => {
    const pods = [pod('10.0.0.1', 'new'), pod('10.0.0.2', 'old', 'blue')];
    const from = [{ podSelector: { matchLabels: { app: 'old' } } }];
    assert.deepEqual(await rulesOf({ podSelector: {}, ingress: [{ from }] }, pods), ['drop']);
  });

  test('selectors', () => {
    const expression = (operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist', values: string[] = []) => ({
      matchExpressions: [{ key: 'a', operator, values }],
    });
    assert.ok(matches({}, {}));
    assert.ok(matches(expression('In', ['1', '2']), { a: '2' }));
    assert.ok(!matches(expression('In', ['1']), {}));
    assert.ok(matches(expression('NotIn', ['1']), {}));
    assert.ok(!matches(expression('NotIn', ['1']), { a: '1' }));
    assert.ok(matches(expression('Exists'), { a: '' }));
    assert.ok(matches(expression('DoesNotExist'), { b: '' }));
    assert.ok(!matches({ matchLabels: { b: '1' }, ...expression('Exists') }, { a: '1' }));
  });
});
