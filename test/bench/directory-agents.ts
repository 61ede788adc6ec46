import { join } from 'node:path';

import { createControllerTransport } from '../../node-agent/main/directory/controller.ts';
import { DirectoryClient } from '../../node-agent/main/directory/directory-client.ts';
import type { Plan } from './directory-plan.ts';
import { changeOf, destinationsOf, endpointsPerService, now, serviceAddress } from './directory-plan.ts';

/** Some of the agents of the directory's bench: the real clients, each with a connection of its own. */

interface Share extends Plan {
  readonly port: number;
  readonly folder: string;
  readonly first: number;
  readonly count: number;
}

const share = JSON.parse(process.argv[2] ?? '') as Share;
const services = Math.floor(share.workloads / endpointsPerService);
const neverMs = 2_000_000_000;
/** By change: when the last agent of this process learned of it, and how many did. */
const seen = new Map<number, { last: number; agents: number }>();
let answered = 0;

function startAgent(agent: number): void {
  const destinations = destinationsOf(agent, services);
  const known = new Set<string>();
  const changes = new Set<number>();
  const client = new DirectoryClient({
    node: `n${agent}`,
    transport: createControllerTransport({ url: `http://127.0.0.1:${share.port}` }),
    token: () => Promise.resolve(`n${agent}`),
    cachePath: join(share.folder, `n${agent}`),
    limits: { saveMs: neverMs, welcomeMs: 120_000 },
    onWorkloads: () => undefined,
    onDestination: (address, _port, destination) => {
      if (!known.has(address)) {
        known.add(address);
        if (known.size === destinations.length && ++answered === share.count) process.send?.({ type: 'ready' });
      }
      if (destination.kind !== 'service') return;
      for (const endpoint of destination.endpoints.values()) {
        const change = changeOf(endpoint.address);
        if (change === undefined || changes.has(change)) continue;
        changes.add(change);
        const at = now();
        const { last, agents } = seen.get(change) ?? { last: 0, agents: 0 };
        seen.set(change, { last: Math.max(last, at), agents: agents + 1 });
      }
    },
    onProblem: (problem) => process.stderr.write(`n${agent} ${problem.code}: ${problem.message}\n`),
  });
  for (const service of destinations) client.lookUp(serviceAddress(service), 80);
  void client.run(new AbortController().signal);
}

for (let agent = share.first; agent < share.first + share.count; agent++) startAgent(agent);
process.on('message', () => process.send?.({ type: 'seen', seen: [...seen] }));
