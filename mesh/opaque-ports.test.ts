import assert from 'node:assert/strict';
import { test } from 'node:test';

import { defaultOpaquePorts, includesPort, parseOpaquePorts } from './opaque-ports.ts';

test('the annotation replaces the default, and one that cannot be read says nothing', () => {
  const annotation = 'config.linkerd.io/opaque-ports';
  assert.deepEqual(parseOpaquePorts({ [annotation]: '80, 8000-8080' }), [
    [80, 80],
    [8000, 8080],
  ]);
  assert.deepEqual(parseOpaquePorts({ [annotation]: '' }), []);
  assert.equal(parseOpaquePorts({ [annotation]: '80,x' }), undefined);
  assert.equal(parseOpaquePorts({}), undefined);
  assert.ok(includesPort(defaultOpaquePorts, 3306));
  assert.ok(!includesPort(defaultOpaquePorts, 3307));
});
