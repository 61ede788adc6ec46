import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import type { DirectoryLimits, DirectoryOptions, TrustBundle } from '../../control-plane/directory/directory.ts';
import { Directory } from '../../control-plane/directory/directory.ts';
import type { ControlServerOptions } from '../../control-plane/directory/server.ts';
import { ControlServer } from '../../control-plane/directory/server.ts';
import { Troubles } from '../../control-plane/events/troubles.ts';
import { Model } from '../../control-plane/model.ts';
import { parseNetwork } from '../../mesh/address.ts';
import type { Destination } from '../../mesh/destination.ts';
import { WeftError } from '../../mesh/errors.ts';
import type { SourceObject } from '../../mesh/objects.ts';
import { testNamespace, testPod, testService, testSlice } from '../../mesh/objects-test.ts';
import type { DirectoryClientOptions } from '../../node-agent/main/directory/directory-client.ts';
import { DirectoryClient } from '../../node-agent/main/directory/directory-client.ts';
import { createControllerTransport } from '../../node-agent/main/directory/controller.ts';

/** Accepts the token "token-of-<node>". */
export const authenticator: ControlServerOptions['authenticator'] = {
  authenticate: (token) => {
    const node = /^token-of-(.+)$/.exec(token)?.[1];
    return Promise.resolve(node === undefined ? new WeftError('WEFT-E301', 'the token is not ours') : { node });
  },
};

export class TestController {
  readonly model = new Model({
    ownNamespace: 'weft',
    identityOf: ({ serviceAccount, namespace }) => `${serviceAccount}.${namespace}.test`,
  });
  readonly errors: WeftError[] = [];
  readonly troubles = new Troubles();
  readonly directory: Directory;
  readonly #server: ControlServer;
  trust: TrustBundle = { anchors: [], certificate: Buffer.of() };
  port = 0;

  constructor(
    limits: Partial<DirectoryLimits> = {},
    options: Partial<ControlServerOptions> = {},
    isHeard?: DirectoryOptions['isHeard'],
  ) {
    this.directory = new Directory({
      model: this.model,
      clusterNetworks: [parseNetwork('10.0.0.0/8')],
      trust: () => this.trust,
      troubles: this.troubles,
      limits,
      ...(isHeard && { isHeard }),
    });
    this.#server = new ControlServer({
      directory: this.directory,
      authenticator,
      certify: () => Promise.resolve(new WeftError('WEFT-E302', 'nobody is certified here')),
      onError: (error) => this.errors.push(error),
      ...options,
    });
  }

  async start(port = 0): Promise<this> {
    this.port = await this.#server.listen(port, '127.0.0.1');
    return this;
  }

  put(...objects: SourceObject[]): void {
    this.model.apply(objects.map((object) => ({ type: 'upsert', object })));
  }

  /** A service of the namespace "shop" with one pod on each of the nodes. */
  shop(...nodes: string[]): void {
    const address = (node: string): string => `10.0.${node.slice(1)}.1`;
    this.put(
      { kind: 'Namespace', value: testNamespace('shop') },
      { kind: 'Service', value: testService('web', ['10.96.0.1']) },
      { kind: 'EndpointSlice', value: testSlice('web', nodes.map(address)) },
      ...nodes.map((node): SourceObject => {
        return { kind: 'Pod', value: testPod(`u-${node}`, { nodeName: node, addresses: [address(node)] }) };
      }),
    );
  }

  close(): Promise<void> {
    return this.#server.close();
  }
}

export class TestAgent {
  readonly client: DirectoryClient;
  readonly destinations = new Map<string, Destination>();
  readonly problems: WeftError[] = [];
  readonly cachePath: string;
  /** How many news of destinations have come. */
  news = 0;
  readonly #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();

  constructor(node: string, port: number, cachePath: string, options: Partial<DirectoryClientOptions> = {}) {
    this.cachePath = cachePath;
    this.client = new DirectoryClient({
      node,
      transport: createControllerTransport({ url: `http://127.0.0.1:${port}` }),
      token: () => Promise.resolve(`token-of-${node}`),
      cachePath,
      onWorkloads: () => undefined,
      onDestination: (address, destinationPort, destination) => {
        this.news++;
        this.destinations.set(`${address}:${destinationPort}`, destination);
      },
      onProblem: (problem) => this.problems.push(problem),
      ...options,
    });
  }

  async start(): Promise<this> {
    await this.client.restore();
    this.#running = this.client.run(this.#stop.signal);
    return this;
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  /** What the agent knows of one endpoint of the service of `shop`. */
  meshed(uid: string): boolean | undefined {
    const destination = this.destinations.get('10.96.0.1:80');
    if (destination?.kind !== 'service') return undefined;
    return destination.endpoints.values().find((endpoint) => endpoint.workload?.uid === uid)?.workload?.meshed;
  }
}

export async function startController(
  t: TestContext,
  limits: Partial<DirectoryLimits> = {},
  options: Partial<ControlServerOptions> = {},
): Promise<TestController> {
  const controller = await new TestController(limits, options).start();
  t.after(() => controller.close());
  return controller;
}

export function cacheFile(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'weft-directory-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, 'directory');
}

export async function startAgent(
  t: TestContext,
  node: string,
  port: number,
  options: Partial<DirectoryClientOptions> = {},
  cachePath = cacheFile(t),
): Promise<TestAgent> {
  const agent = new TestAgent(node, port, cachePath, options);
  t.after(() => agent.stop());
  return agent.start();
}

export async function until(condition: () => boolean, what: string, deadlineMs = 8000): Promise<void> {
  const end = performance.now() + deadlineMs;
  while (!condition()) {
    if (performance.now() > end) assert.fail(`after ${deadlineMs} ms: ${what}`);
    await delay(5);
  }
}
