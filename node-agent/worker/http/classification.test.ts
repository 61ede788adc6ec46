import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Classification, ClassifiedExchange } from './classification.ts';
import { classify } from './classification.ts';
import { noGrpcStatus } from './request-record.ts';

const complete: ClassifiedExchange = {
  isGrpc: false,
  isSynthetic: false,
  ending: 'complete',
  status: 200,
  grpcStatus: noGrpcStatus,
};

test('a response of HTTP is a failure by its status, or where it was cut short', () => {
  const cases: [Partial<ClassifiedExchange>, Classification | undefined][] = [
    [{}, 'success'],
    [{ status: 404 }, 'success'],
    [{ status: 429, isSynthetic: true, ending: 'synthetic' }, 'success'],
    [{ status: 500 }, 'failure'],
    [{ status: 599 }, 'failure'],
    [{ status: 504, isSynthetic: true, ending: 'connect-timeout' }, 'failure'],
    [{ status: 400, isSynthetic: true, ending: 'invalid-request' }, 'success'],
    [{ ending: 'upstream-reset' }, 'failure'],
    [{ ending: 'idle-timeout' }, 'failure'],
    [{ ending: 'client-reset' }, 'success'],
    [{ ending: 'client-reset', status: 503 }, 'failure'],
    [{ ending: 'client-reset', status: 0 }, undefined],
    [{ ending: 'connect-failed', status: 0 }, 'failure'],
    [{ grpcStatus: 13 }, 'success'], // it is no gRPC
  ];
  for (const [changed, expected] of cases)
    assert.equal(classify({ ...complete, ...changed }), expected, JSON.stringify(changed));
});

test('a response of gRPC is a failure by its own status', () => {
  for (let grpcStatus = 0; grpcStatus <= 16; grpcStatus++) {
    const expected = [2, 4, 7, 13, 14, 15].includes(grpcStatus) ? 'failure' : 'success';
    assert.equal(classify({ ...complete, isGrpc: true, grpcStatus }), expected, `${grpcStatus}`);
  }
  assert.equal(classify({ ...complete, isGrpc: true }), 'success', 'it ended without trailers');
  assert.equal(classify({ ...complete, isGrpc: true, ending: 'upstream-reset' }), 'failure');
});
