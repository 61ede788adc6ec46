import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import fc from 'fast-check';

import { parseAddress } from '../../mesh/address.ts';
import type { FamilyName } from '../metrics/families.ts';
import { seriesMemoryBytes } from '../metrics/series-memory.ts';
import type { Labels } from '../metrics/series-sets.ts';
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

const target = { address: parseAddress('10.0.0.7'), port: 80 };
const at = { target_addr: '10.0.0.7:80' };
const db = testPod({ id: 4, name: 'db' });
const others = { get: (id: number): WorkerPod | undefined => (id === 4 ? db : undefined) };

class Counted {
  readonly memory: ArrayBuffer;
  readonly metrics: ConnectionMetrics;
  readonly #record = new ConnectionRecord();

  constructor(memory = new ArrayBuffer(seriesMemoryBytes)) {
    this.memory = memory;
    this.metrics = new ConnectionMetrics(new SeriesWriter(memory), names, others);
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

test('a connection is counted when it opens and when it ends, at both of its sides', () => {
  const counted = new Counted();
  const key = (family: FamilyName, changed: Labels): string => {
    const { peer = '', ...rest } = changed;
    return family + JSON.stringify({ direction: 'inbound', namespace: 'shop', pod: 'web', peer, ...at, ...rest });
  };
  const src = { peer: 'src', tls: 'true', client_id: 'name-5' };
  const dst = { peer: 'dst', tls: 'no_identity', no_tls_reason: 'loopback' };
  counted.metrics.opened(1, 'inbound', pod, 'mutualTls', 5, target);
  assert.deepEqual(counted.series(), {
    [key('tcp_open_total', src)]: 1,
    [key('tcp_open_connections', src)]: 1,
    [key('tcp_open_total', dst)]: 1,
    [key('tcp_open_connections', dst)]: 1,
  });
  counted.end(1, 'inbound', { reason: 'finished', bytesToUpstream: 10, bytesToClient: 20 });
  assert.deepEqual(counted.series(), {
    [key('tcp_open_total', src)]: 1,
    [key('tcp_read_bytes_total', src)]: 10,
    [key('tcp_write_bytes_total', src)]: 20,
    [key('tcp_close_total', src)]: 1,
    [key('tcp_open_total', dst)]: 1,
    [key('tcp_read_bytes_total', dst)]: 20,
    [key('tcp_write_bytes_total', dst)]: 10,
    [key('tcp_close_total', dst)]: 1,
  });
});

test('out of a pod it tells where it goes', () => {
  const counted = new Counted();
  const owner = { kind: 'statefulset', name: 'db' } as const;
  const names = { namespace: 'data', pod: 'db-0', serviceAccount: 'db', owner, templateHash: '', zone: 'z1' };
  const service = { namespace: 'data', name: 'db' };
  counted.metrics.opened(1, 'outbound', pod, 'mutualTls', 7, { ...target, names, service });
  const told = {
    dst_namespace: 'data',
    dst_pod: 'db-0',
    dst_service: 'db',
    dst_serviceaccount: 'db',
    dst_zone: 'z1',
    dst_statefulset: 'db',
  };
  assert.equal(sumIn(counted.memory, 'tcp_open_total', { peer: 'dst', server_id: 'name-7', ...told, ...at }), 1);
  assert.equal(sumIn(counted.memory, 'tcp_open_total', { peer: 'src', no_tls_reason: 'loopback', ...at }), 1);
  assert.equal(counted.sum('tcp_open_total'), 2);
});

test('between pods of a node it is told of by both', () => {
  const counted = new Counted();
  counted.metrics.opened(1, 'outbound', pod, 'sameNode', 7, { ...target, localPod: 4 });
  counted.end(1, 'outbound', { reason: 'finished', bytesToUpstream: 10, bytesToClient: 20 });
  const read = (labels: Labels): number => sumIn(counted.memory, 'tcp_read_bytes_total', labels);
  const ends = [
    { direction: 'outbound', pod: 'web', peer: 'src' },
    { direction: 'outbound', pod: 'web', peer: 'dst', no_tls_reason: 'same_node', server_id: 'name-7' },
    { direction: 'inbound', pod: 'db', peer: 'src', no_tls_reason: 'same_node', client_id: 'web.shop.mesh' },
    { direction: 'inbound', pod: 'db', peer: 'dst' },
  ];
  assert.deepEqual(ends.map(read), [10, 20, 10, 20]);
  assert.equal(counted.sum('tcp_open_total'), 4);
});

test('one that ends here has but one side', () => {
  const counted = new Counted();
  counted.metrics.served(1, 'outbound', pod, 'ownApp', 0, target);
  counted.metrics.served(2, 'inbound', pod, 'mutualTls', 5, target);
  assert.equal(sumIn(counted.memory, 'tcp_open_connections', { peer: 'src' }), 2);
  assert.equal(counted.sum('tcp_open_connections'), 2);
});

test('what several links have in common is one series, whose gauge counts them all', () => {
  const counted = new Counted();
  counted.metrics.opened(1, 'outbound', pod, 'mutualTls', 7, target);
  counted.metrics.opened(2, 'outbound', pod, 'mutualTls', 8, target);
  const own = { peer: 'src', tls: 'no_identity' };
  assert.equal(sumIn(counted.memory, 'tcp_open_connections', own), 2);
  counted.end(1, 'outbound', { reason: 'finished' });
  assert.equal(sumIn(counted.memory, 'tcp_open_connections', own), 1);
});

test('an end that is not regular is counted with its errno, a failure of ours with its error', () => {
  const counted = new Counted();
  const to = { namespace: 'shop', pod: 'web', ...at };
  counted.metrics.opened(1, 'outbound', pod, 'plaintextToOutside', 0, target);
  counted.metrics.opened(2, 'outbound', pod, 'mutualTls', 7, target);
  counted.metrics.opened(4, 'outbound', pod, 'plaintextToOutside', 0, target);
  counted.metrics.opened(5, 'inbound', pod, 'mutualTls', 7, target);
  counted.end(1, 'outbound', { reason: 'connect-timeout', errno: 110 });
  counted.end(2, 'outbound', { reason: 'tls-failed', errno: tlsFailures.indexOf('expired') });
  counted.end(3, 'inbound', { reason: 'tls-failed', errno: 9999 });
  counted.end(4, 'outbound', { reason: 'connect-failed', errno: 111 });
  counted.end(5, 'inbound', { reason: 'error', errno: 99_999 });
  const closed = (errno: string, labels: Labels): number =>
    sumIn(counted.memory, 'tcp_close_total', { errno, peer: 'dst', ...labels });
  assert.equal(closed('ETIMEDOUT', { no_tls_reason: 'not_provided_by_service_discovery' }), 1);
  assert.equal(closed('EPROTO', { server_id: 'name-7' }), 1);
  assert.equal(closed('ECONNREFUSED', {}), 1);
  assert.equal(closed('EIO', { direction: 'inbound' }), 1);
  const errors = (error: string): number => sumIn(counted.memory, 'outbound_tcp_errors_total', { error, ...to });
  assert.deepEqual([errors('dispatch timeout'), errors('i/o')], [1, 2]);
  assert.equal(sumIn(counted.memory, 'inbound_tcp_errors_total', { error: 'unexpected', ...to }), 1);
  const labels = '"namespace":"shop","pod":"web"';
  const series = counted.series();
  assert.equal(series[`weft_tls_failures_total{"direction":"outbound",${labels},"reason":"expired"}`], 1);
  assert.equal(series[`weft_tls_failures_total{"direction":"inbound",${labels},"reason":"protocol"}`], 1);
});

test('what ends without having been opened is not counted, nor is an end told twice', () => {
  const counted = new Counted();
  counted.end(1, 'inbound', { reason: 'refused' });
  assert.deepEqual(counted.series(), {});
  counted.metrics.opened(2, 'inbound', pod, 'passthrough', 0, target);
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
  counted.metrics.opened(1, 'inbound', pod, 'plaintextFromOutside', 0, target);
  counted.metrics.opened(2, 'inbound', pod, 'plaintextFromOutside', 0, target);
  const successor = new Counted(counted.memory);
  assert.deepEqual([successor.sum('tcp_open_total'), successor.sum('tcp_open_connections')], [4, 0]);
  successor.end(1, 'inbound', { reason: 'finished' }); // of the predecessor: an id means nothing to another engine
  successor.metrics.opened(1, 'inbound', pod, 'plaintextFromOutside', 0, target);
  assert.deepEqual([successor.sum('tcp_open_total'), successor.sum('tcp_open_connections')], [6, 2]);
});

test('names that differ are counted apart, whatever they are', () => {
  const text = fc.oneof(fc.string({ minLength: 1, maxLength: 40 }), fc.constantFrom('a b', 'b', '"', '\\', '{}'));
  const name = text.filter((one) => !one.includes('/')); // as no name of Kubernetes does
  fc.assert(
    fc.property(fc.uniqueArray(fc.tuple(name, name), { selector: ([a, b]) => JSON.stringify([a, b]) }), (pods) => {
      const counted = new Counted();
      for (const [index, [namespace, podName]] of pods.entries())
        counted.metrics.opened(index, 'inbound', testPod({ namespace, name: podName }), 'passthrough', 0, target);
      const opened = countsIn(counted.memory).filter(
        ({ family, labels }) => family === 'tcp_open_total' && labels['peer'] === 'src',
      );
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
        counted.metrics.opened(one.id, one.direction, pods[one.pod] ?? pod, one.protection, one.peer, target);
        open.set(one.id, one);
        opened++;
        assert.equal(counted.sum('tcp_open_connections'), 2 * open.size);
      }
      for (const one of [...open.values()]) end(one);
      assert.equal(counted.sum('tcp_open_total'), 2 * opened);
      assert.equal(counted.sum('tcp_close_total'), 2 * opened);
      for (const { family, value } of countsIn(counted.memory))
        if (family === 'tcp_open_connections') assert.equal(value, 0);
    }),
  );
});

test('with more peers than there are series the counts go to the overflow, and gauges stay true', () => {
  const counted = new Counted();
  for (let peer = 1; peer <= 9000; peer++) counted.metrics.opened(peer, 'outbound', pod, 'mutualTls', peer, target);
  assert.equal(counted.sum('tcp_open_total'), 18_000);
  const folded = 18_000 - counted.sum('tcp_open_connections');
  assert.ok(folded > 0);
  assert.equal(counted.sum('weft_metrics_overflow_total'), folded);
  for (let peer = 1; peer <= 9000; peer++) counted.end(peer, 'outbound', { reason: 'finished', bytesToClient: 5 });
  assert.equal(counted.sum('tcp_open_connections'), 0);
  assert.equal(counted.sum('tcp_close_total'), 18_000);
  assert.equal(counted.sum('tcp_write_bytes_total'), 45_000);
  assert.ok(countsIn(counted.memory).every(({ value }) => value >= 0));
  counted.metrics.opened(1, 'outbound', pod, 'mutualTls', 1, target);
  assert.equal(counted.sum('tcp_open_connections'), 2, 'who had a series still has it');
});

test("failures of TLS are numbered as the engine's", () => {
  const header = readFileSync(new URL('../../native/core/tls/failure.h', import.meta.url), 'utf8');
  const [, body = ''] = /enum class Reason : uint8_t \{([^}]*)\}/.exec(header) ?? [];
  const names = [...body.replaceAll(/\/\/.*/g, '').matchAll(/\bk(\w+)/g)].map(([, name = '']) =>
    name.replace(/(?!^)[A-Z]/g, '-$&').toLowerCase(),
  );
  assert.deepEqual(tlsFailures, names);
});
