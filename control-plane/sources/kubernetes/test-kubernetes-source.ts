import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { after } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import type { WeftError } from '../../../mesh/errors.ts';
import type { SourceObject } from '../../../mesh/objects.ts';
import { objectKey } from '../../../mesh/objects.ts';
import { OpenSsl } from '../../identity/test-identity.ts';
import { readObject } from '../object-reader.ts';
import type { Delta } from '../source.ts';
import { ApiClient } from './api-client.ts';
import type { FakeApiServerOptions, RawObject } from './fake-api-server.ts';
import { FakeApiServer } from './fake-api-server.ts';
import { KubernetesSource } from './kubernetes-source.ts';
import type { ReflectorTimes } from './reflector-times.ts';
import type { ResourceKind } from './resource-kinds.ts';
import { resourceKinds } from './resource-kinds.ts';

const scratch = new OpenSsl();
after(() => scratch.close());
const tls = scratch.localServer();

export const pods = '/api/v1/pods';
export const namespaces = '/api/v1/namespaces';
export const slices = '/apis/discovery.k8s.io/v1/endpointslices';
export const quick: ReflectorTimes = {
  retry: { firstMs: 4, maximumMs: 40 },
  shortWatchMs: 20,
  watchSeconds: 60,
  graceMs: 1000,
  idleMs: 400,
  listMs: 400,
  absentMs: 30,
};
export const transports: readonly [string, FakeApiServerOptions][] = [
  ['HTTP', {}],
  ['HTTPS with HTTP/1.1', { tls, protocol: 'http/1.1', token: 'secret' }],
  ['HTTP/2', { tls, protocol: 'h2', token: 'secret' }],
];

export function pod(name: string, uid = name, change: object = {}): RawObject {
  return {
    metadata: { namespace: 'shop', name, uid, managedFields: [{ manager: 'kubelet' }] },
    spec: { nodeName: 'node-1', containers: [{ name: 'app', ports: [{ containerPort: 80 }] }] },
    status: { phase: 'Running', podIPs: [{ ip: '10.0.0.7' }] },
    ...change,
  };
}

export function namespace(name: string, labels: object = {}): RawObject {
  return { metadata: { name, uid: name, labels } };
}

/** What the deltas say, which fails where one does not fit what is there. */
class Mirror {
  readonly objects = new Map<string, SourceObject>();
  readonly batches: (readonly Delta[])[] = [];
  readonly faults: string[] = [];
  readonly #generations = new Map<string, number>();

  readonly take = (deltas: readonly Delta[]): void => {
    this.batches.push(deltas);
    for (const { type, object } of deltas) {
      const key = objectKey(object);
      const known = this.objects.get(key);
      if (type === 'upsert') {
        if (JSON.stringify(known) === JSON.stringify(object)) this.faults.push(`${key} is told twice`);
        if (object.kind === 'Namespace') this.#age(key, Number(object.value.labels['generation'] ?? 0));
        this.objects.set(key, object);
      } else {
        if (JSON.stringify(known) !== JSON.stringify(object)) this.faults.push(`${key} is deleted as it was not`);
        this.objects.delete(key);
      }
    }
  };

  #age(key: string, generation: number): void {
    if (generation < (this.#generations.get(key) ?? 0)) this.faults.push(`${key} is told as it was before`);
    this.#generations.set(key, generation);
  }

  contents(): string[] {
    return [...this.objects.values()].map((object) => JSON.stringify(object)).sort();
  }
}

/** What a source of that server is to know; undefined for what cannot be read. */
export function contentsOf(server: FakeApiServer, resources: readonly ResourceKind[]): string[] {
  const objects = resources.flatMap(({ kind, path }) =>
    server.objects(path).map((object) => JSON.stringify(readObject({ ...object, kind }))),
  );
  return objects.sort();
}

export interface Started {
  readonly server: FakeApiServer;
  readonly source: KubernetesSource;
  readonly client: ApiClient;
  readonly mirror: Mirror;
  readonly problems: WeftError[];
  readonly stop: () => Promise<void>;
  readonly started: Promise<void>;
}

interface Setting extends FakeApiServerOptions {
  readonly resources?: readonly ResourceKind[];
  readonly served?: readonly string[];
  readonly times?: ReflectorTimes;
  readonly prepare?: (server: FakeApiServer) => void;
}

export async function begin({
  resources = resourceKinds,
  served,
  times = quick,
  prepare,
  ...options
}: Setting = {}): Promise<Started> {
  const server = new FakeApiServer(served ?? resources.map(({ path }) => path), options);
  prepare?.(server);
  const client = new ApiClient(await server.listen());
  const problems: WeftError[] = [];
  const source = new KubernetesSource({ client, resources, times, onProblem: (problem) => problems.push(problem) });
  const mirror = new Mirror();
  source.onDeltas(mirror.take);
  const end = new AbortController();
  const started = source.start(end.signal);
  started.catch(() => undefined); // a test that stops before
  const stop = async (): Promise<void> => {
    end.abort();
    await client.close();
    await server.close();
  };
  return { server, source, client, mirror, problems, stop, started };
}

export async function start(t: TestContext, setting: Setting = {}): Promise<Started> {
  const begun = await begin(setting);
  t.after(begun.stop);
  await begun.started;
  return begun;
}

export async function until(condition: () => boolean, what: string | (() => string), deadlineMs = 5000): Promise<void> {
  const begun = performance.now();
  while (!condition()) {
    if (performance.now() - begun > deadlineMs) {
      assert.fail(`after ${deadlineMs} ms: ${typeof what === 'string' ? what : what()}`);
    }
    await delay(2);
  }
}

export const isSame = ({ server, mirror }: Started, resources: readonly ResourceKind[] = resourceKinds): boolean =>
  JSON.stringify(mirror.contents()) === JSON.stringify(contentsOf(server, resources));

export const requestsOf = ({ server }: Started, path: string): URL[] =>
  server.requests.filter((url) => url.pathname === path);
