import assert from 'node:assert/strict';
import { test } from 'node:test';

import { compiledLayouts } from '../../../test/bpf/layouts.ts';
import { failureOf } from './failures.ts';
import { messageErrors } from './message-errors.ts';
import { requestEndings } from './request-record.ts';

test('messages are refused for what native/core/http1/error.h names', () => {
  const compiled = Object.entries(compiledLayouts().messageErrors);
  assert.equal(messageErrors.length, compiled.length);
  for (const [name, { number, status }] of compiled) assert.deepEqual(messageErrors[number], [name, status]);
});

test('each way to end without a response has its status, as Linkerd maps it', () => {
  const expected: Readonly<Record<string, readonly [status: number, grpcStatus: number, closes: boolean]>> = {
    'connect-failed': [502, 14, true],
    'connect-timeout': [504, 4, true],
    'tls-failed': [502, 14, true],
    'upstream-reset': [502, 14, true],
    'invalid-response': [502, 14, true],
    'hold-timeout': [504, 14, true],
    'response-timeout': [504, 4, false],
    'request-timeout': [504, 4, false],
    'idle-timeout': [504, 4, false],
    'refused-by-limit': [503, 14, true],
    revoked: [504, 4, true],
    shutdown: [503, 14, true],
    error: [500, 13, true],
  };
  for (const [ending, row] of Object.entries(expected)) {
    const found = requestEndings.find((one) => one === ending);
    assert.ok(found, ending);
    const { status, grpcStatus, closes, cause } = failureOf(found, 0);
    assert.deepEqual([status, grpcStatus, closes], row, ending);
    assert.match(cause, /^[a-z][ -~]+$/i, ending);
  }
});

test('a cause names what the engine saw', () => {
  const causes: [Parameters<typeof failureOf>, status: number, cause: string][] = [
    [['connect-failed', 111], 502, 'connection failed: ECONNREFUSED'],
    [['connect-failed', 113], 502, 'connection failed: EHOSTUNREACH'],
    [['tls-failed', 6], 502, 'mutual TLS failed: wrong-name'],
    [['invalid-response', 1], 502, 'invalid response: bare_cr'],
    [['invalid-request', 22], 431, 'invalid request: head_too_large'],
    [['invalid-request', 9999], 400, 'invalid request: unknown'],
  ];
  for (const [[ending, detail], status, cause] of causes) {
    const failure = failureOf(ending, detail);
    assert.deepEqual([failure.status, failure.cause], [status, cause]);
  }
});
