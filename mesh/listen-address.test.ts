import assert from 'node:assert/strict';
import { test } from 'node:test';

import { parseListenAddress } from './listen-address.ts';

test('names, IPv4 and IPv6 in brackets', () => {
  assert.deepEqual(parseListenAddress('0.0.0.0:4191'), { host: '0.0.0.0', port: 4191 });
  assert.deepEqual(parseListenAddress('[::]:80'), { host: '::', port: 80 });
  assert.deepEqual(parseListenAddress('localhost:0'), { host: 'localhost', port: 0 });
});

test('anything else is refused and named', () => {
  for (const text of ['', '4191', ':4191', '::1:80', '[::1]', 'a:65536', 'a:-1', 'a:b', '[]:1'])
    assert.throws(() => parseListenAddress(text), { name: 'RangeError', message: `"${text}" is not HOST:PORT` });
});
