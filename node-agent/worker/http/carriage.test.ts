import assert from 'node:assert/strict';
import { test } from 'node:test';

import { detections } from '../inbound.ts';
import type { Carriage } from './carriage.ts';
import { carriageOf, carriageOfClaim } from './carriage.ts';

test('what a connection is carried as', () => {
  const expected: Readonly<Record<keyof typeof detections, Carriage>> = {
    nothing: 'detect',
    plaintext: 'bytes',
    timeout: 'bytes',
    tls: 'bytes',
    invalidTls: 'bytes',
    http1: 'http',
    http2: 'http',
  };
  for (const name of ['nothing', 'plaintext', 'timeout', 'tls', 'invalidTls', 'http1', 'http2'] as const) {
    const detected = detections[name];
    assert.equal(carriageOf('opaque', detected), 'bytes', name);
    assert.equal(carriageOf('detect', detected), expected[name], name);
    assert.equal(carriageOf('http2', detected), expected[name], name);
    assert.equal(carriageOf('http1', detected), name === 'timeout' ? 'http' : expected[name], name);
  }
});

test('a peer is believed what a stream carries, but not that HTTP is none, nor that an opaque port is HTTP', () => {
  const expected: Readonly<Record<'nothing' | 'plaintext' | 'http1' | 'http2', readonly [Carriage, Carriage]>> = {
    nothing: ['detect', 'detect'],
    plaintext: ['bytes', 'detect'],
    http1: ['http', 'http'],
    http2: ['http', 'http'],
  };
  for (const claimed of ['nothing', 'plaintext', 'http1', 'http2'] as const) {
    const [undeclared, http] = expected[claimed];
    assert.equal(carriageOfClaim('opaque', detections[claimed]), 'bytes', claimed);
    assert.equal(carriageOfClaim('detect', detections[claimed]), undeclared, claimed);
    assert.equal(carriageOfClaim('http1', detections[claimed]), http, claimed);
    assert.equal(carriageOfClaim('http2', detections[claimed]), http, claimed);
  }
});
