import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ownerOf } from './owner.ts';

test('pods of a Deployment are told from those of a ReplicaSet by the label of the former', () => {
  const controller = { kind: 'ReplicaSet', name: 'web-api-5d69b8d9c8' };
  const hash = { 'pod-template-hash': '5d69b8d9c8' };
  assert.deepEqual(ownerOf(controller, hash), { kind: 'deployment', name: 'web-api' });
  assert.deepEqual(ownerOf(controller, {}), { kind: 'replicaset', name: 'web-api-5d69b8d9c8' });
  assert.deepEqual(ownerOf(controller, { 'pod-template-hash': 'other' })?.kind, 'replicaset');
});

test('other kinds that Kubernetes has, and none that it has not', () => {
  assert.deepEqual(ownerOf({ kind: 'StatefulSet', name: 'db' }, {}), { kind: 'statefulset', name: 'db' });
  assert.deepEqual(ownerOf({ kind: 'DaemonSet', name: 'log' }, {}), { kind: 'daemonset', name: 'log' });
  assert.deepEqual(ownerOf({ kind: 'Job', name: 'night-1' }, {}), { kind: 'job', name: 'night-1' });
  assert.equal(ownerOf({ kind: 'Rollout', name: 'web' }, {}), undefined);
  assert.equal(ownerOf(undefined, {}), undefined);
});
