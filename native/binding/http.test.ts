import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { test } from 'node:test';

import { loadNativeAddon } from '../../node-agent/main/native.ts';
import type { Engine, EngineOptions, SyntheticResponse } from '../engine.d.ts';

const nothing = (): void => undefined;

function options(changed: Partial<EngineOptions> = {}): EngineOptions {
  return {
    brokerPath: '/nowhere',
    slot: 0,
    clientsMap: -1,
    pipes: 1,
    pipeBytes: 65_536,
    record: new ArrayBuffer(192),
    requestRecord: new ArrayBuffer(200),
    requests: new ArrayBuffer(200),
    closes: new ArrayBuffer(192),
    responses: new ArrayBuffer(200),
    onListener: nothing,
    onListenerGone: nothing,
    onConnection: nothing,
    onCloses: nothing,
    onRequests: nothing,
    onFailure: nothing,
    onResponses: nothing,
    onProbe: nothing,
    onDrain: nothing,
    onBrokerLost: nothing,
    ...changed,
  };
}

function newEngine(t: TestContext): Engine {
  const engine = loadNativeAddon().createEngine(options());
  t.after(() => engine.close());
  return engine;
}

test('edits and responses are defined once, and what HTTP does not allow is refused with a reason', (t) => {
  const engine = newEngine(t);
  const edits = engine.defineHeaderEdits({ remove: ['x-old'], set: { 'x-new': 'a' }, add: { via: 'b' } });
  const response = engine.defineResponse({ status: 503, headers: { 'x-why': 'c' }, body: 'd', grpcStatus: 14 });
  assert.ok(edits > 0 && response > 0);
  assert.notEqual(engine.defineHeaderEdits({}), edits);
  engine.releaseHeaderEdits(edits);
  engine.releaseResponse(response);

  const refused = [
    () => engine.defineHeaderEdits({ set: { 'x y': 'a' } }),
    () => engine.defineHeaderEdits({ set: { x: 'a\r\nb: c' } }),
    () => engine.defineHeaderEdits({ remove: ['transfer-encoding'] }),
    () => engine.defineResponse({ status: 99, headers: {} }),
    () => engine.defineResponse({ status: 503, headers: { 'x-why': 'a\nb' } }),
    () => engine.defineResponse({ status: 503, headers: { 'content-length': '7' } }),
    () => engine.defineHeaderEdits({ remove: [7 as unknown as string] }),
    () => engine.defineHeaderEdits({ set: { x: 7 as unknown as string } }),
    () => engine.defineResponse({ headers: {} } as unknown as SyntheticResponse),
  ];
  for (const define of refused) assert.throws(define, TypeError, String(define));
});

test('outside of a decision no request is shown, and none is held', (t) => {
  const engine = newEngine(t);
  assert.deepEqual([engine.requestMethod(0), engine.requestPath(0), engine.requestAuthority(0)], ['', '', '']);
  assert.equal(engine.requestHeader(0, 'host'), undefined);
  assert.equal(engine.resumeRequest(1), false);
  engine.revokeRequests(1);
});

test('a record that is too small is refused', () => {
  for (const name of ['record', 'requestRecord', 'requests', 'closes', 'responses'])
    assert.throws(
      () => loadNativeAddon().createEngine(options({ [name]: new ArrayBuffer(191) })),
      /must be an ArrayBuffer of at least/,
    );
});
