import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Protocol } from './protocol.ts';
import { protocolOf } from './protocol.ts';

test('a declaration goes before opaque ports', () => {
  const cases: [appProtocol: string, isOpaque: boolean, expected: Protocol][] = [
    ['', false, 'detect'],
    ['', true, 'opaque'],
    ['http', false, 'http1'],
    ['http', true, 'http1'],

    ['kubernetes.io/ws', false, 'http1'],
    ['kubernetes.io/h2c', true, 'http2'],
    ['http2', false, 'http2'],
    ['grpc', true, 'http2'],
  ];
  for (const [appProtocol, isOpaque, expected] of cases)
    assert.equal(protocolOf(appProtocol, isOpaque), expected, `"${appProtocol}" ${isOpaque}`);
});

test('TLS of the app, what is declared as bytes and what nobody knows is opaque', () => {
  for (const appProtocol of [
    'https',
    'tls',
    'kubernetes.io/wss',
    'tcp',
    'linkerd.io/tcp',
    'linkerd.io/opaque',
    'x/y',
    'HTTP',
  ])
    for (const isOpaque of [false, true]) assert.equal(protocolOf(appProtocol, isOpaque), 'opaque', appProtocol);
});
