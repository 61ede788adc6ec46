import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import fc from 'fast-check';

import type { Fault } from './fake-api-server.ts';
import { FakeApiServer } from './fake-api-server.ts';
import { resourceKinds } from './resource-kinds.ts';
import {
  begin,
  contentsOf,
  isSame,
  namespace,
  namespaces,
  pod,
  pods,
  transports,
  until,
} from './test-kubernetes-source.ts';

type Step = (server: FakeApiServer) => void | Promise<void>;

const names = fc.constantFrom('a', 'b', 'c', 'd', 'e');
const faults = fc.oneof(
  fc.constantFrom<Fault[]>('reset', 'half', 'garbage'),
  fc.constantFrom(401, 403, 410, 429, 500, 503, 504).map((status) => ({ status })),
  fc.nat(8).map((delayMs) => ({ delayMs })),
) as fc.Arbitrary<Fault>;
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.tuple(names, fc.nat(3)).map(
      ([name, version]): Step =>
        (server) =>
          server.apply(pods, pod(name, uidOf(server, name), { status: { phase: `Phase${version}` } })),
    ),
  },
  {
    weight: 3,
    arbitrary: names.map(
      (name): Step =>
        (server) =>
          server.remove(pods, `shop/${name}`),
    ),
  },
  {
    weight: 2,
    arbitrary: names.map((name): Step => (server) => {
      server.remove(pods, `shop/${name}`);
      server.apply(pods, pod(name, uidOf(server, name)));
    }),
  },
  {
    weight: 2,
    arbitrary: names.map(
      (name): Step =>
        (server) =>
          server.apply(namespaces, namespace(name, { generation: `${++made}` })),
    ),
  },
  {
    weight: 1,
    arbitrary: names.map(
      (name): Step =>
        (server) =>
          server.remove(namespaces, name),
    ),
  },
  {
    weight: 1,
    arbitrary: names.map(
      (name): Step =>
        (server) =>
          server.apply(pods, pod(name, uidOf(server, name), { spec: { nodeName: 7 } })),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom<Step[]>(
      (server) => server.dropConnections(),
      (server) => server.endWatches(),
      (server) => server.compact(),
      (server) => server.bookmark(),
      (server) => server.write('}\n'),
      (server) => server.write('{"type":"ERROR","object":{"code":410}}\n'),
      (server) => server.write('{"type":"ERROR","object":{"code":500}}\n'),
      (server) => {
        server.compact();
        server.dropConnections();
      },
    ),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(fc.constantFrom(pods, namespaces), fc.constantFrom('list' as const, 'watch' as const), faults)
      .map(
        ([path, verb, fault]): Step =>
          (server) =>
            server.fail(path, verb, fault),
      ),
  },
  {
    weight: 5,
    arbitrary: fc.nat(12).map((ms): Step => async () => {
      await delay(ms);
    }),
  },
);

let made = 0;
/** The one it has, or that of another pod of the name. */
function uidOf(server: FakeApiServer, name: string): string {
  const existing = server.objects(pods).find(({ metadata }) => metadata.name === name);
  return existing?.metadata.uid ?? `${name}-${++made}`;
}

for (const [name, options] of transports) {
  test(
    `over ${name}: whatever happens, the source ends as the server and its deltas are consistent`,
    { timeout: 120_000 },
    async () => {
      const resources = resourceKinds.filter(({ kind }) => kind === 'Pod' || kind === 'Namespace');
      await fc.assert(
        fc.asyncProperty(
          fc.array(step, { maxLength: 40, size: 'max' }),
          fc.integer({ min: 1, max: 6 }),
          fc.boolean(),
          async (steps, pageLimit, isStarted) => {
            const begun = await begin({
              ...options,
              resources,
              prepare: (server) => {
                server.pageLimit = pageLimit;
              },
            });
            const { server, mirror } = begun;
            try {
              if (isStarted) await begun.started;
              for (const take of steps) await take(server);
              server.heal();
              // What cannot be read at the end is mended, as its last good state is of no interest here.
              for (const { metadata, spec } of server.objects(pods)) {
                if ((spec as { nodeName: unknown }).nodeName === 7)
                  server.apply(pods, pod(metadata.name, metadata.uid));
              }
              await begun.started;
              const same = (): boolean => isSame(begun, resources);
              await until(same, () => `${mirror.contents().join()} is not ${contentsOf(server, resources).join()}`);
              assert.deepEqual(mirror.faults, []);
            } finally {
              await begun.stop();
            }
          },
        ),
        { numRuns: 60 },
      );
    },
  );
}
