import assert from 'node:assert/strict';
import { test } from 'node:test';

import { testNamespace, testPod } from './objects-test.ts';
import type { Annotations, PortRange } from './skips.ts';
import { compileWorkload, sameFacts } from './workload.ts';

const annotation = 'config.linkerd.io/skip-inbound-ports';
const rules = { ownNamespace: 'weft-system', identityOf: () => 'default.shop.test' };

function skippedPorts(ofNamespace: Annotations, ofPod: Annotations): readonly PortRange[] {
  const namespace = testNamespace('shop', { annotations: ofNamespace });
  return compileWorkload(testPod('u1', { annotations: ofPod }), namespace, true, rules).skippedPorts;
}

test("peers know the ports that a workload's agent does not capture", () => {
  assert.deepEqual(skippedPorts({}, {}), [[4567, 4568]]);
  assert.deepEqual(skippedPorts({ [annotation]: '25' }, {}), [
    [4567, 4568],
    [25, 25],
  ]);
  assert.deepEqual(skippedPorts({ [annotation]: '25' }, { [annotation]: '7100-7102' }), [
    [4567, 4568],
    [7100, 7102],
  ]);
  assert.deepEqual(skippedPorts({}, { [annotation]: 'many' }), [[4567, 4568]]);
});

test('other skipped ports are news', () => {
  const compiled = compileWorkload(testPod('u1'), testNamespace('shop'), true, rules);
  assert.ok(sameFacts(compiled, { ...compiled, skippedPorts: [[4567, 4568]] }));
  assert.ok(!sameFacts(compiled, { ...compiled, skippedPorts: [[4567, 4569]] }));
});
