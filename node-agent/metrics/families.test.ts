import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import type { FamilyName } from './families.ts';
import { families, isGauge, parseSeriesKey, seriesKey } from './families.ts';

const familyNames = Object.keys(families) as FamilyName[];

test('a key tells its family and its labels', () => {
  const family = fc.constantFrom(...familyNames);
  const labelled = family.chain((name) =>
    fc.tuple(fc.constant(name), fc.dictionary(fc.constantFrom(...families[name].labels, 'x'), fc.string())),
  );
  fc.assert(
    fc.property(labelled, ([name, labels]) => {
      const areAllowed = Object.keys(labels).every((label) => label !== 'x');
      const parsed = parseSeriesKey(seriesKey(name, { ...labels }));
      assert.deepEqual(parsed, areAllowed ? { family: name, labels: { ...labels } } : undefined);
    }),
  );
});

test('only what counts what is true now is a gauge', () => {
  assert.deepEqual(
    familyNames.filter((name) => isGauge(seriesKey(name, {}))),
    ['tcp_open_connections'],
  );
  assert.equal(isGauge('tcp_open_connections'), false);
});

test('hostile keys are none of ours', () => {
  for (const key of [
    '',
    '{',
    '{}',
    'tcp_open_total',
    'tcp_open_total1',
    'tcp_open_total{',
    'tcp_open_total{]',
    'tcp_open_total{}{}',
    'tcp_open_total {}',
    'TCP_OPEN_TOTAL{}',
    '__proto__{}',
    'constructor{}',
    'toString{}',
    'hasOwnProperty{"pod":"a"}',
    'tcp_open_total{"pod":1}',
    'tcp_open_total{"pod":null}',
    'tcp_open_total{"pod":{"a":"b"}}',
    'tcp_open_total{"__proto__":"a"}',
    'tcp_open_total{"constructor":"a"}',
    'tcp_open_total{"reason":"of another family"}',
    'weft_metrics_overflow_total{"pod":"a"}',
    'process_cpu_seconds_total{}',
  ])
    assert.equal(parseSeriesKey(key), undefined, key);
});

test('whatever the key, labels are those of the family and strings', () => {
  const piece = fc.constantFrom(
    ...familyNames,
    '{',
    '}',
    '"pod"',
    ':',
    '"a"',
    ',',
    'null',
    '[',
    ']',
    '1',
    '"__proto__"',
  );
  const key = fc.oneof(fc.string(), fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.join(''))); // prettier-ignore
  fc.assert(
    fc.property(key, (text) => {
      const parsed = parseSeriesKey(text);
      if (parsed === undefined) return;
      assert.ok(Object.hasOwn(families, parsed.family));
      for (const [name, value] of Object.entries(parsed.labels)) {
        assert.ok((families[parsed.family].labels as readonly string[]).includes(name));
        assert.equal(typeof value, 'string');
      }
    }),
    { numRuns: 2000 },
  );
});
