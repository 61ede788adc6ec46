import assert from 'node:assert/strict';
import { test } from 'node:test';

import { compileNamespace, sameNamespace } from './namespace.ts';
import { testNamespace } from './objects-test.ts';

const own = 'weft-system';

test('a namespace is opted in by its label or annotation, but never that of the control plane or of the system', () => {
  const isOptedIn = (name: string, labels: Record<string, string>, annotations = {}): boolean =>
    compileNamespace(testNamespace(name, { labels, annotations }), own) !== undefined;
  const enabled = { 'weft.dev/mesh': 'enabled' };
  assert.ok(isOptedIn('shop', enabled));
  assert.ok(isOptedIn('shop', {}, { 'linkerd.io/inject': 'enabled' }));
  assert.ok(!isOptedIn('shop', {}));
  assert.ok(!isOptedIn('shop', { 'weft.dev/mesh': 'disabled' }));
  assert.ok(!isOptedIn(own, enabled));
  assert.ok(!isOptedIn('kube-system', enabled));
});

test('of its annotations those that configure the mesh count, and another value is news', () => {
  const skip = 'config.linkerd.io/skip-inbound-ports';
  const compile = (annotations: Record<string, string>) =>
    compileNamespace(testNamespace('shop', { annotations }), own);
  assert.deepEqual(compile({ [skip]: '25', note: 'of ours' }), { name: 'shop', configuration: { [skip]: '25' } });
  assert.ok(sameNamespace(compile({ [skip]: '25' }), compile({ [skip]: '25', note: 'of ours' })));
  assert.ok(!sameNamespace(compile({ [skip]: '25' }), compile({ [skip]: '26' })));
  assert.ok(!sameNamespace(compile({}), compile({ [skip]: '26' })));
  assert.ok(!sameNamespace(compile({ [skip]: '26' }), compile({})));
  assert.ok(!sameNamespace(compile({}), undefined));
  assert.ok(sameNamespace(undefined, undefined));
});
