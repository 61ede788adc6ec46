import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { SyntheticResponse } from '../../../native/engine.d.ts';
import { failureOf } from './failures.ts';
import { FailureResponses } from './responses.ts';

class FakeResponses {
  readonly defined = new Map<number, SyntheticResponse>();
  last = 0;
  defineResponse(response: SyntheticResponse): number {
    this.defined.set(++this.last, response);
    return this.last;
  }
  releaseResponse(response: number): void {
    assert.ok(this.defined.delete(response));
  }
}

test('a response is defined once, and says what a gRPC client is told', () => {
  const engine = new FakeResponses();
  const responses = new FailureResponses(engine);
  const first = responses.get(failureOf('response-timeout', 0), 'endpoint 10.0.0.5:80');
  assert.equal(responses.get(failureOf('response-timeout', 0), 'endpoint 10.0.0.5:80'), first);
  const text = 'endpoint 10.0.0.5:80: timed out waiting for response headers';
  assert.deepEqual(engine.defined.get(first.number), {
    status: 504,
    grpcStatus: 4,
    grpcMessage: text,
    headers: { 'l5d-proxy-error': text },
  });
  assert.notEqual(responses.get(failureOf('response-timeout', 0), 'endpoint 10.0.0.6:80'), first);
});

test('who is not told gets the status alone', () => {
  const engine = new FakeResponses();
  const { number } = new FailureResponses(engine).get(failureOf('connect-failed', 111), undefined);
  assert.deepEqual(engine.defined.get(number), {
    status: 502,
    grpcStatus: 14,
    grpcMessage: '',
    headers: { connection: 'close', 'l5d-proxy-connection': 'close' },
  });
});

test('there is a bound to what is kept, and what is forgotten is defined anew', () => {
  const engine = new FakeResponses();
  const responses = new FailureResponses(engine);
  const failure = failureOf('connect-timeout', 0);
  const first = responses.get(failure, '0');
  for (let place = 1; place < 3000; place++) responses.get(failure, `${place}`);
  assert.equal(engine.defined.size, 1024);
  assert.notEqual(responses.get(failure, '0').number, first.number);
});
