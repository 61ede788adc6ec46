import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';

import { createControllerTransport } from '../../../node-agent/main/directory/controller.ts';
import { DirectoryClient } from '../../../node-agent/main/directory/directory-client.ts';
import type { AgentCredentials } from './population.ts';

export interface ObserversOptions {
  readonly agents: readonly AgentCredentials[];
  readonly controller: string;
  readonly anchors: string;
  readonly serverName: string;
  readonly folder: string;
  readonly onProblem: (problem: string) => void;
}

const port = 80;
const saveRarelyMs = 10 * 60_000;

/** The directory's side of many agents: the real client, each with its own connection and token. They ask for all services. */
export class Observers {
  readonly #options: ObserversOptions;
  /** Of each agent, by the address of the service: what it leads to. */
  readonly #views: Map<string, readonly string[]>[] = [];
  #onView: (agent: number, service: string, endpoints: readonly string[]) => void = () => undefined;
  readonly #end = new AbortController();

  constructor(options: ObserversOptions) {
    this.#options = options;
  }

  start(services: Iterable<string>): void {
    const { agents, controller, anchors, serverName, folder, onProblem } = this.#options;
    const addresses = [...services];
    for (const [index, { node, token }] of agents.entries()) {
      const view = new Map<string, readonly string[]>();
      this.#views.push(view);
      const client = new DirectoryClient({
        node,
        transport: createControllerTransport({
          url: controller,
          tls: { ca: () => readFileSync(anchors, 'utf8'), serverName },
        }),
        token: () => Promise.resolve(token),
        cachePath: join(folder, node),
        onWorkloads: () => undefined,
        onDestination: (address, _port, destination) => {
          if (destination.kind !== 'service') return;
          const endpoints = [...destination.endpoints.values()].map((endpoint) => endpoint.address).sort();
          view.set(address, endpoints);
          this.#onView(index, address, endpoints);
        },
        // What each keeps on disk, every second while there are changes, would hold up the others of this process.
        limits: { saveMs: saveRarelyMs },
        onProblem: (problem) => onProblem(`${node} ${problem.code}: ${problem.message}`),
      });
      for (const address of addresses) client.lookUp(address, port);
      void client.run(this.#end.signal);
    }
  }

  stop(): void {
    this.#end.abort();
  }

  /** How many pairs of agent and service do not know what is true. */
  differences(truth: ReadonlyMap<string, readonly string[]>): number {
    let wrong = 0;
    for (const view of this.#views)
      for (const [service, endpoints] of truth)
        if (!isDeepStrictEqual(view.get(service) ?? [], [...endpoints].sort())) wrong += 1;
    return wrong;
  }

  /** Resolves with the time at which the last agent learned that the service leads to the address, too. */
  async allLearn(service: string, endpoint: string, signal: AbortSignal): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const missing = new Set(this.#views.keys());
    signal.addEventListener('abort', () => reject(new Error(`${missing.size} agents do not learn of ${endpoint}`)));
    this.#onView = (agent, address, endpoints) => {
      if (address !== service || !endpoints.includes(endpoint)) return;
      missing.delete(agent);
      if (missing.size === 0) resolve(performance.now());
    };
    return await promise;
  }
}
