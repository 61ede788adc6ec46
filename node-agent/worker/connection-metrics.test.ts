import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import fc from 'fast-check';

import type { FamilyName } from '../metrics/families.ts';
import { seriesMemoryBytes } from '../metrics/series-memory.ts';
import { SeriesWriter } from '../metrics/series-writer.ts';
import { countsIn, sumIn } from '../metrics/test-series.ts';
import type { Protection } from './connection-metrics.ts';
import { ConnectionMetrics, protections, tlsFailures } from './connection-metrics.ts';
import { ConnectionRecord, closeReasons } from './connection-record.ts';
import type { Direction } from './messages.ts';
import type { WorkerPod } from './pods.ts';
import type { TestOutcome } from './test-connection.ts';
import { testPod, writeConnection, writeOutcome } from './test-connection.ts';

const pod = testPod();
const names = { nameOf: (number: number): string => `name-${number}` };

class Counted {
  readonly memory: ArrayBuffer;
  readonly metrics: ConnectionMetrics;
  readonly #record = new ConnectionRecord();

  constructor(memory = new ArrayBuffer(seriesMemoryBytes)) {
    this.memory = memory;
    this.metrics = new ConnectionMetrics(new SeriesWriter(memory), names);
  }

  end(id: number, direction: Direction, outcome: TestOutcome, of: WorkerPod = pod): void {
    writeConnection(this.#record.buffer, { id, pod: of.id, local: ['10.0.0.7', 80], remote: ['10.0.0.9', 40000] });
    writeOutcome(this.#record.buffer, outcome);
    this.metrics.ended(this.#record, direction, of);
  }

  /** All that is not 0. */
  series(): Record<string, number> {
    const counts = countsIn(this.memory).filter(({ value }) => value !== 0);
    return Object.fromEntries(counts.map(({ family, labels, value }) => [family + JSON.stringify(labels), value]));
  }

  sum(family: FamilyName): number {
    return sumIn(this.memory, family);
  }
}

test('a connection is counted when it opens and when it ends, with who is at the other end', () => {
  const counted = new Counted();
  counted.metrics.opened(1, 'inbound', pod, 'mutualTls', 5);
  const labels =
    '{"direction":"inbound","namespace":"shop","pod":"web","peer":"src","tls":"true","client_id":"name-5"}';
  assert.deepEqual(counted.series(), { [`tcp_open_total${labels}`]: 1, [`tcp_open_connections${labels}`]: 1 });
  counted.end(1, 'inbound', { reason: 'finished', bytesToUpstream: 10, bytesToClient: 20 });
  assert.deepEqual(counted.series(), {
    [`tcp_open_total${labels}`]: 1,
    [`tcp_read_bytes_total${labels}`]: 10,
    [`tcp_write_bytes_total${labels}`]: 20,
    [`tcp_close_total${labels}`]: 1,
  });
});

test('an end that is not regular is counted with its reason, as is a failure of TLS', () => {
  const counted = new Counted();
  counted.metrics.opened(1, 'outbound', pod, 'plaintextToOutside', 0);
  counted.metrics.opened(2, 'outbound', pod, 'mutualTls', 7);
  counted.end(1, 'outbound', { reason: 'connect-timeout', errno: 110 });
  counted.end(2, 'outbound', { reason: 'tls-failed', errno: tlsFailures.indexOf('expired') });
  counted.end(3, 'inbound', { reason: 'tls-failed', errno: 9999 });
  const labels = '"direction":"outbound","namespace":"shop","pod":"web"';
  const series = counted.series();
  const plain = `${labels},"peer":"dst","tls":"no_identity","no_tls_reason":"not_provided_by_service_discovery"`;
  assert.equal(series[`tcp_close_total{${plain},"errno":"connect-timeout"}`], 1);
  assert.equal(
    series[`tcp_close_total{${labels},"peer":"dst","tls":"true","server_id":"name-7","errno":"tls-failed"}`],
    1,
  );
  assert.equal(series[`weft_tls_failures_total{${labels},"reason":"expired"}`], 1);
  assert.equal(
    series['weft_tls_failures_total{"direction":"inbound","namespace":"shop","pod":"web","reason":"protocol"}'],
    1,
  );
});

test('what ends without having been opened is not counted, nor is an end told twice', () => {
  const counted = new Counted();
  counted.end(1, 'inbound', { reason: 'refused' });
  assert.deepEqual(counted.series(), {});
  counted.metrics.opened(2, 'inbound', pod, 'passthrough', 0);
  counted.end(2, 'inbound', { reason: 'finished' });
  const before = counted.series();
  counted.end(2, 'inbound', { reason: 'finished' });
  assert.deepEqual(counted.series(), before);
});

test('refusals are counted by reason', () => {
  const counted = new Counted();
  counted.metrics.refused('inbound', pod, 'downgrade');
  counted.metrics.refused('inbound', pod, 'downgrade');
  counted.metrics.refused('outbound', pod, 'unresolved');
  const labels = (direction: string, reason: string): string =>
    `weft_connections_refused_total{"direction":"${direction}","namespace":"shop","pod":"web","reason":"${reason}"}`;
  assert.deepEqual(counted.series(), { [labels('inbound', 'downgrade')]: 2, [labels('outbound', 'unresolved')]: 1 });
});

test('a successor counts on, but has none of the open connections', () => {
  const counted = new Counted();
  counted.metrics.opened(1, 'inbound', pod, 'plaintextFromOutside', 0);
  counted.metrics.opened(2, 'inbound', pod, 'plaintextFromOutside', 0);
  const successor = new Counted(counted.memory);
  assert.deepEqual([successor.sum('tcp_open_total'), successor.sum('tcp_open_connections')], [2, 0]);
  successor.end(1, 'inbound', { reason: 'finished' }); // of the predecessor: an id means nothing to another engine
  successor.metrics.opened(1, 'inbound', pod, 'plaintextFromOutside', 0);
  assert.deepEqual([successor.sum('tcp_open_total'), successor.sum('tcp_open_connections')], [3, 1]);
});

test('names that differ are counted apart, whatever they are', () => {
  const text = fc.oneof(fc.string({ minLength: 1, maxLength: 40 }), fc.constantFrom('a b', 'b', '"', '\\', '{}'));
  const name = text.filter((one) => !one.includes('/')); // as no name of Kubernetes does
  fc.assert(
    fc.property(fc.uniqueArray(fc.tuple(name, name), { selector: ([a, b]) => JSON.stringify([a, b]) }), (pods) => {
      const counted = new Counted();
      for (const [index, [namespace, podName]] of pods.entries())
        counted.metrics.opened(index, 'inbound', testPod({ namespace, name: podName }), 'passthrough', 0);
      const opened = countsIn(counted.memory).filter(({ family }) => family === 'tcp_open_total');
      assert.deepEqual(
        opened.map(({ value }) => value),
        pods.map(() => 1),
      );
    }),
  );
});

interface Event {
  readonly id: number;
  readonly direction: Direction;
  readonly protection: Protection;
  readonly peer: number;
  readonly pod: number;
  readonly reason: number;
}

test('whatever opens and ends, gauges return to 0 and every opening has its end', () => {
  const event: fc.Arbitrary<Event> = fc.record({
    id: fc.nat(15),
    direction: fc.constantFrom('inbound', 'outbound'),
    protection: fc.constantFrom(...(Object.keys(protections) as Protection[])),
    peer: fc.nat(3),
    pod: fc.nat(2),
    reason: fc.nat(closeReasons.length - 1),
  });
  const pods = ['a', 'b', 'c'].map((name, index) => testPod({ id: index + 1, name }));
  fc.assert(
    fc.property(fc.array(event, { maxLength: 200 }), (events) => {
      const counted = new Counted();
      const open = new Map<number, Event>();
      const end = (one: Event): void => {
        open.delete(one.id);
        counted.end(one.id, one.direction, { reason: closeReasons[one.reason] ?? 'error' }, pods[one.pod]);
      };
      let opened = 0;
      for (const one of events) {
        const before = open.get(one.id);
        if (before !== undefined) {
          end(before);
          continue;
        }
        counted.metrics.opened(one.id, one.direction, pods[one.pod] ?? pod, one.protection, one.peer);
        open.set(one.id, one);
        opened++;
        assert.equal(counted.sum('tcp_open_connections'), open.size);
      }
      for (const one of [...open.values()]) end(one);
      assert.equal(counted.sum('tcp_open_total'), opened);
      assert.equal(counted.sum('tcp_close_total'), opened);
      for (const { family, value } of countsIn(counted.memory))
        if (family === 'tcp_open_connections') assert.equal(value, 0);
    }),
  );
});

test('with more peers than there are series the counts go to the overflow, and gauges stay true', () => {
  const counted = new Counted();
  for (let peer = 1; peer <= 9000; peer++) counted.metrics.opened(peer, 'outbound', pod, 'mutualTls', peer);
  assert.equal(counted.sum('tcp_open_total'), 9000);
  const folded = 9000 - counted.sum('tcp_open_connections');
  assert.ok(folded > 0);
  assert.equal(counted.sum('weft_metrics_overflow_total'), folded);
  for (let peer = 1; peer <= 9000; peer++) counted.end(peer, 'outbound', { reason: 'finished', bytesToClient: 5 });
  assert.equal(counted.sum('tcp_open_connections'), 0);
  assert.equal(counted.sum('tcp_close_total'), 9000);
  assert.equal(counted.sum('tcp_write_bytes_total'), 45_000);
  assert.ok(countsIn(counted.memory).every(({ value }) => value >= 0));
  counted.metrics.opened(1, 'outbound', pod, 'mutualTls', 1);
  assert.equal(counted.sum('tcp_open_connections'), 1, 'who had a series still has it');
});

test("failures of TLS are numbered as the engine's", () => {
  const header = readFileSync(new URL('../../native/core/tls/failure.h', import.meta.url), 'utf8');
  const [, body = ''] = /enum class Reason : uint8_t \{([^}]*)\}/.exec(header) ?? [];
  const names = [...body.replaceAll(/\/\/.*/g, '').matchAll(/\bk(\w+)/g)].map(([, name = '']) =>
    name.replace(/(?!^)[A-Z]/g, '-$&').toLowerCase(),
  );
  assert.deepEqual(tlsFailures, names);
});
