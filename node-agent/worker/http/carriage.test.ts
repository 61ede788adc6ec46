import assert from 'node:assert/strict';
import { test } from 'node:test';

import { detections } from '../inbound.ts';
import type { Carriage } from './carriage.ts';
import { carriageOf } from './carriage.ts';

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
