import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { parseAddress } from '../../../mesh/address.ts';
import type { RequestEnding } from '../../../native/engine.d.ts';
import type { FamilyName } from '../../metrics/families.ts';
import { seriesMemoryBytes } from '../../metrics/series-memory.ts';
import type { Labels } from '../../metrics/series-sets.ts';
import { SeriesWriter } from '../../metrics/series-writer.ts';
import { countsIn, sumIn } from '../../metrics/test-series.ts';
import type { Protection } from '../connection-metrics.ts';
import type { Endpoint } from '../destinations.ts';
import { Destinations } from '../destinations.ts';
import type { Direction } from '../messages.ts';
import { testPod } from '../test-connection.ts';
import { detections } from '../inbound.ts';
import { TestPolicy, endpoint, uncounted } from '../test-policy.ts';
import { HttpRequestMetrics } from './http-metrics.ts';
import type { HttpMetrics } from './metrics-sink.ts';
import { RequestContext } from './request-context.ts';
import { errorOf, grpcStatusNames } from './request-errors.ts';
import { RequestRecord, noGrpcStatus, outcomeFlags, requestEndings, requestFlags } from './request-record.ts';
import { TestHttpConnection } from './test-request.ts';
import { Upstream } from './upstreams.ts';

const web = testPod();
const db = testPod({ id: 4, name: 'db', identity: 2, identityName: 'name-2', ipv4: parseAddress('10.0.0.8') });

interface TestExchange {
  readonly authority?: number;
  readonly grpc?: boolean;
  readonly upstream?: Upstream | undefined;
  readonly attempts?: number;
  readonly ending?: RequestEnding;
  readonly status?: number;
  readonly grpcStatus?: number;
  readonly synthetic?: boolean;
  readonly timeToHeadMs?: number;
  readonly durationMs?: number;
}

class Counted {
  readonly memory = new ArrayBuffer(seriesMemoryBytes);
  readonly writer = new SeriesWriter(this.memory);
  readonly destinations = new Destinations((name) => name.length);
  readonly metrics: HttpRequestMetrics;
  readonly #record = new RequestRecord();

  constructor() {
    this.metrics = new HttpRequestMetrics({
      writer: this.writer,
      engine: { nameOf: (number) => `name-${number}` },
      pods: { get: (id) => (id === 4 ? db : undefined) },
      destinations: this.destinations,
    });
  }

  exchange(context: RequestContext, exchange: TestExchange = {}): void {
    const { attempts = 1 } = exchange;
    this.#write(exchange);
    this.metrics.requested();
    for (let attempt = 0; attempt < attempts; attempt++)
      this.metrics.forwarded(context, this.#record, exchange.upstream);
    this.metrics.responded(context, this.#record, exchange.upstream);
  }

  sum(family: FamilyName, labels: Labels = {}): number {
    return sumIn(this.memory, family, labels);
  }

  /** The labels of the only series of a family that is not 0. */
  labelsOf(family: FamilyName): Labels {
    const found = countsIn(this.memory).filter((one) => one.family === family && one.value !== 0);
    assert.equal(found.length, 1, family);
    return found[0]?.labels ?? {};
  }

  #write(exchange: TestExchange): void {
    const words = new Uint32Array(this.#record.buffer);
    const floats = new Float64Array(this.#record.buffer);
    words[6] = exchange.grpc === true ? requestFlags.grpc : 0;
    words[7] = exchange.authority ?? 0;
    words[10] = exchange.attempts ?? 1;
    words[36] = requestEndings.indexOf(exchange.ending ?? 'complete');
    words[38] = exchange.status ?? 200;
    words[39] = exchange.grpcStatus ?? noGrpcStatus;
    words[40] = exchange.synthetic === true ? outcomeFlags.synthetic : 0;
    floats[23] = exchange.timeToHeadMs ?? 1;
    floats[24] = exchange.durationMs ?? 1;
  }
}

function contextOf(
  direction: Direction,
  changed: { peerName?: number; port?: number; address?: string } = {},
): RequestContext {
  const connection = {
    id: 1,
    peerName: changed.peerName ?? 0,
    localAddress: parseAddress(changed.address ?? (direction === 'inbound' ? '10.0.0.7' : '10.96.0.1')),
    localPort: changed.port ?? 80,
    remoteAddress: parseAddress('10.0.0.9'),
    remotePort: 40_000,
  };
  return new RequestContext(connection, direction, web);
}

function upstreamOf(protection: Protection, changed: Partial<Endpoint> = {}): Upstream {
  const owner = { kind: 'deployment', name: 'db' } as const;
  const names = { namespace: 'shop', pod: 'db', serviceAccount: 'db', owner, templateHash: '5d69b', zone: 'z1' };
  const at = { address: parseAddress('10.0.0.8'), port: 8080, meshed: true, identity: 2, workload: 1, localPod: 0 };
  return new Upstream({ ...at, names, ...changed }, protection);
}

function tellService({ destinations }: Counted): void {
  const destination = {
    kind: 'endpoints',
    protocol: 'detect',
    endpoints: [],
    service: { namespace: 'shop', name: 'db' },
  } as const;
  destinations.set({ type: 'destination', address: '10.96.0.1', port: 80, destination });
}

test('a request to a meshed pod has the labels of both ends', () => {
  const counted = new Counted();
  tellService(counted);
  counted.exchange(contextOf('outbound'), { authority: 9, upstream: upstreamOf('mutualTls'), timeToHeadMs: 3.5 });
  const labels = {
    ...{ direction: 'outbound', namespace: 'shop', pod: 'web', authority: 'name-9', target_addr: '10.0.0.8:8080' },
    ...{ tls: 'true', server_id: 'name-2', dst_namespace: 'shop', dst_pod: 'db', dst_service: 'db' },
    ...{ dst_deployment: 'db', dst_pod_template_hash: '5d69b', dst_serviceaccount: 'db', dst_zone: 'z1' },
  };
  assert.deepEqual(counted.labelsOf('request_total'), labels);
  assert.deepEqual(counted.labelsOf('response_total'), { ...labels, classification: 'success', status_code: '200' });
  assert.deepEqual(counted.labelsOf('response_latency_ms'), { ...labels, status_code: '200' });
  const service = (role: string): Labels => ({
    ...{ [`${role}_group`]: 'core', [`${role}_kind`]: 'Service', [`${role}_namespace`]: 'shop' },
    ...{ [`${role}_name`]: 'db', [`${role}_port`]: '80' },
  });
  const route = { namespace: 'shop', pod: 'web', ...service('parent'), route_kind: 'default', route_name: 'http' };
  assert.deepEqual(counted.labelsOf('outbound_http_route_backend_requests_total'), { ...route, ...service('backend') });
  assert.deepEqual(counted.labelsOf('outbound_http_route_request_duration_seconds'), route);
  assert.deepEqual(counted.labelsOf('outbound_http_route_request_statuses_total'), { ...route, http_status: '200' });
  assert.deepEqual(counted.labelsOf('outbound_http_route_backend_response_statuses_total'), {
    ...{ ...route, ...service('backend') },
    http_status: '200',
  });
  assert.equal(counted.sum('inbound_http_requests_total'), 0);
});

test('a request from a peer has the labels of the pod and of the client, and no authority that a client may choose', () => {
  const counted = new Counted();
  counted.exchange(contextOf('inbound', { peerName: 5 }), { authority: 9, status: 503 });
  const labels = {
    ...{ direction: 'inbound', namespace: 'shop', pod: 'web', target_addr: '10.0.0.7:80' },
    ...{ tls: 'true', client_id: 'name-5' },
  };
  assert.deepEqual(counted.labelsOf('request_total'), labels);
  assert.deepEqual(counted.labelsOf('response_total'), { ...labels, classification: 'failure', status_code: '503' });
  const route = {
    ...{ namespace: 'shop', pod: 'web', parent_kind: 'default', parent_name: 'all-unauthenticated', parent_port: '80' },
    ...{ route_kind: 'default', route_name: 'default' },
  };
  assert.deepEqual(counted.labelsOf('inbound_http_requests_total'), route);
  assert.deepEqual(counted.labelsOf('inbound_http_statuses_total'), { ...route, status: '503' });
  counted.exchange(contextOf('inbound'));
  assert.equal(counted.sum('request_total', { tls: 'no_identity', no_tls_reason: 'no_tls_from_remote' }), 1);
});

test('a request between pods of a node is told of by both', () => {
  const counted = new Counted();
  counted.exchange(contextOf('outbound'), { upstream: upstreamOf('sameNode', { localPod: 4 }), timeToHeadMs: 7 });
  const same = { tls: 'true', no_tls_reason: 'same_node', target_addr: '10.0.0.8:8080' };
  for (const family of ['request_total', 'response_total', 'response_latency_ms'] as const) {
    assert.equal(counted.sum(family, { ...same, direction: 'outbound', pod: 'web', server_id: 'name-2' }), 1, family);
    assert.equal(counted.sum(family, { ...same, direction: 'inbound', pod: 'db', client_id: 'name-1' }), 1, family);
    assert.equal(counted.sum(family), 2);
  }
  assert.equal(counted.sum('inbound_http_requests_total', { pod: 'db', parent_port: '8080' }), 1);
  assert.equal(counted.sum('inbound_http_statuses_total', { pod: 'db', status: '200' }), 1);
});

test('gRPC is counted by its status, in families of its own', () => {
  const counted = new Counted();
  const context = contextOf('inbound', { peerName: 5 });
  for (const grpcStatus of [0, 14, 14, 5]) counted.exchange(context, { grpc: true, grpcStatus });
  counted.exchange(context, { grpc: true });
  const code = (grpc_status: string, classification: string): number =>
    counted.sum('response_total', { grpc_status, classification, status_code: '200' });
  assert.deepEqual([code('0', 'success'), code('14', 'failure'), code('5', 'success')], [1, 2, 1]);
  assert.equal(counted.sum('inbound_grpc_requests_total'), 5);
  assert.equal(counted.sum('inbound_grpc_statuses_total', { status: 'UNAVAILABLE' }), 2);
  assert.equal(counted.sum('inbound_grpc_request_duration_seconds'), 5);
  assert.equal(counted.sum('inbound_http_requests_total') + counted.sum('inbound_http_statuses_total'), 0);
  counted.exchange(contextOf('outbound'), { grpc: true, grpcStatus: 4, upstream: upstreamOf('mutualTls') });
  const status = { grpc_status: 'DEADLINE_EXCEEDED' };
  assert.equal(counted.sum('outbound_grpc_route_request_statuses_total', status), 1);
  assert.equal(counted.sum('outbound_grpc_route_backend_response_statuses_total', status), 1);
});

test('what fails is counted with its error, and where it went if it went anywhere', () => {
  const counted = new Counted();
  const upstream = upstreamOf('mutualTls');
  const context = contextOf('outbound');
  counted.exchange(context, { upstream, ending: 'connect-failed', status: 502, synthetic: true });
  counted.exchange(context, { upstream, ending: 'client-reset', status: 0 });
  counted.exchange(context, { upstream, ending: 'upstream-reset', status: 200 });
  counted.exchange(context, { attempts: 0, ending: 'synthetic', status: 504, synthetic: true });
  counted.exchange(context, { attempts: 0, ending: 'synthetic', status: 403, synthetic: true });
  assert.equal(counted.sum('request_total'), 3);
  assert.equal(counted.sum('response_total'), 2, 'who left before has no response');
  assert.equal(counted.sum('response_total', { classification: 'failure', status_code: '502', error: 'IO' }), 1);
  assert.equal(counted.sum('response_total', { classification: 'failure', status_code: '200', error: 'RESET' }), 1);
  assert.equal(counted.sum('response_latency_ms'), 2);
  const statuses = (labels: Labels): number => counted.sum('outbound_http_route_request_statuses_total', labels);
  assert.equal(statuses({}), 5);
  assert.equal(statuses({ error: 'CANCEL' }), 1);
  assert.equal(statuses({ error: 'FAIL_FAST', http_status: '504' }), 1);
  assert.equal(counted.sum('outbound_http_route_backend_response_statuses_total'), 2);
  const errors = (error: string): number => counted.sum('outbound_http_errors_total', { error });
  assert.deepEqual([errors('i/o'), errors('failfast')], [2, 1]);
  assert.equal(counted.sum('outbound_http_errors_total'), 3);
});

test('a request that is forwarded again is one more request, and one response', () => {
  const counted = new Counted();
  counted.exchange(contextOf('outbound'), { upstream: upstreamOf('mutualTls'), attempts: 3 });
  assert.deepEqual([counted.sum('request_total'), counted.sum('response_total')], [3, 1]);
});

test('a route is told by what the directory says at the time', () => {
  const counted = new Counted();
  const context = contextOf('outbound');
  const backends = (labels: Labels): number => counted.sum('outbound_http_route_backend_requests_total', labels);
  counted.exchange(context);
  assert.equal(backends({ parent_kind: 'default', parent_name: 'egress-fallback' }), 1);
  tellService(counted);
  counted.exchange(context);
  assert.equal(backends({ parent_kind: 'Service', backend_name: 'db' }), 1);
  const destination = { kind: 'endpoints', protocol: 'detect', endpoints: [] } as const;
  counted.destinations.set({ type: 'destination', address: '10.96.0.1', port: 80, destination });
  counted.exchange(context);
  assert.equal(backends({ parent_kind: 'default', parent_name: 'endpoint' }), 1);
});

test('a request that was held is counted as what it is, when it goes on', (t) => {
  const counted: unknown[] = [];
  const metrics: HttpMetrics = {
    ...uncounted,
    forwarded: (_, { isGrpc }, upstream) => counted.push([isGrpc, upstream?.protection]),
  };
  const node = new TestPolicy(t, {}, { metrics });
  node.learnProtocol('http1', '10.96.0.1', 80, endpoint());
  const captured = {
    pod: 1,
    detected: detections.http1,
    local: ['10.96.0.1', 80],
    remote: ['10.0.0.7', 40_000],
  } as const;
  const connection = new TestHttpConnection(node, captured);
  connection.request({ exchange: 5, grpc: true });
  connection.request({ exchange: 6 });
  assert.deepEqual(counted, []);
  node.setCredentials();
  assert.deepEqual(counted, [
    [true, 'mutualTls'],
    [false, 'mutualTls'],
  ]);
});

test('whatever requests there are, none is lost, however many differ', () => {
  const counted = new Counted();
  const upstreams = Array.from({ length: 40 }, (_, port) => upstreamOf('mutualTls', { port }));
  const context = contextOf('outbound');
  let requests = 0;
  for (const upstream of upstreams)
    for (let authority = 0; authority < 250; authority++, requests++)
      counted.exchange(context, { authority, upstream });
  assert.deepEqual([counted.sum('request_total'), counted.sum('response_total')], [requests, requests]);
  assert.ok(counted.sum('weft_metrics_overflow_total') > 0);
});

test('every outcome is counted once, with labels that tell it from others', () => {
  const outcome = fc.record({
    grpc: fc.boolean(),
    ending: fc.constantFrom(...requestEndings),
    status: fc.constantFrom(0, 100, 200, 204, 404, 429, 500, 503, 504, 999),
    grpcStatus: fc.constantFrom(0, 1, 4, 14, 16, 17, 4711, noGrpcStatus),
    synthetic: fc.boolean(),
    attempts: fc.constantFrom(0, 1, 2),
  });
  fc.assert(
    fc.property(fc.array(outcome, { maxLength: 30 }), fc.constantFrom('inbound', 'outbound'), (outcomes, direction) => {
      const counted = new Counted();
      const context = contextOf(direction);
      for (const one of outcomes) counted.exchange(context, one);
      const families: readonly FamilyName[] =
        direction === 'inbound'
          ? ['inbound_http_statuses_total', 'inbound_grpc_statuses_total']
          : ['outbound_http_route_request_statuses_total', 'outbound_grpc_route_request_statuses_total'];
      assert.equal(families.reduce((sum, family) => sum + counted.sum(family), 0), outcomes.length); // prettier-ignore
      assert.equal(counted.sum('request_total'), outcomes.reduce((sum, { attempts }) => sum + attempts, 0)); // prettier-ignore
      const responses = counted.sum('response_total');
      assert.equal(responses, counted.sum('response_total', { classification: 'success' }) + counted.sum('response_total', { classification: 'failure' })); // prettier-ignore
    }),
    { numRuns: 60 },
  );
});

test('errors have numbers that fit, and gRPC its names', () => {
  const numbers = new Set(requestEndings.map((ending) => errorOf(ending, 200, 1)));
  for (const { number } of numbers) assert.ok(number < 32);
  assert.equal(new Set([...numbers].map(({ number }) => number)).size, numbers.size);
  assert.equal(grpcStatusNames[14], 'UNAVAILABLE');
  assert.equal(grpcStatusNames.length, 17);
});

test('a request costs little, and leaves nothing behind', () => {
  const counted = new Counted();
  const context = contextOf('outbound');
  const upstream = upstreamOf('mutualTls');
  const record = new RequestRecord();
  const words = new Uint32Array(record.buffer);
  words[7] = 9;
  words[10] = 1;
  words[38] = 200;
  words[39] = noGrpcStatus;
  new Float64Array(record.buffer)[23] = 3;
  const run = (requests: number): number => {
    const { user } = process.threadCpuUsage();
    for (let request = 0; request < requests; request++) {
      counted.metrics.forwarded(context, record, upstream);
      counted.metrics.responded(context, record, upstream);
    }
    return (process.threadCpuUsage().user - user) / requests;
  };
  run(20_000);
  const micros = Math.min(run(100_000), run(100_000), run(100_000));
  assert.ok(micros < 3, `${micros} µs per request`);
  assert.equal(counted.sum('response_total'), 320_000);
});
