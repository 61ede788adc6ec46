import { Counter, Gauge } from 'prom-client';

import type { AnyRegistry, Registries } from '../../admin/registries.ts';
import { createRegistries } from '../../admin/registries.ts';
import type { AgentStatus } from './agent-status.ts';
import type { Family } from './families.ts';
import { families, parseSeriesKey } from './families.ts';
import { readSeries } from './series-memory.ts';

/** @param memories of the workers, by slot; @param status asked at every scrape */
export function createAgentRegistries(
  memories: readonly ArrayBuffer[],
  status: () => AgentStatus,
  registerMore?: (registry: AnyRegistry) => void,
): Registries {
  return createRegistries((registry) => {
    registerMore?.(registry);
    addWorkerFamilies(registry, memories);
    addAgentFamilies(registry, status);
  });
}

function addWorkerFamilies(registry: AnyRegistry, memories: readonly ArrayBuffer[]): void {
  for (const [name, family] of Object.entries<Family>(families)) {
    const configuration = { name, help: family.help, labelNames: [...family.labels], registers: [registry] };
    if (family.type === 'counter') {
      new Counter({
        ...configuration,
        collect() {
          this.reset();
          for (const [labels, value] of sumOf(name, memories)) this.inc(labels, Math.max(value, 0));
        },
      });
    } else {
      new Gauge({
        ...configuration,
        collect() {
          this.reset();
          for (const [labels, value] of sumOf(name, memories)) this.inc(labels, value);
        },
      });
    }
  }
}

/** Of all workers; the registry adds up what has the same labels. */
function sumOf(family: string, memories: readonly ArrayBuffer[]): (readonly [Record<string, string>, number])[] {
  return memories.flatMap(readSeries).flatMap(({ key, value }) => {
    const series = key.startsWith(`${family}{`) ? parseSeriesKey(key) : undefined;
    return series === undefined ? [] : [[{ ...series.labels }, value] as const];
  });
}

function addAgentFamilies(registry: AnyRegistry, status: () => AgentStatus): void {
  const gauge = (name: string, help: string, labels: readonly string[], read: (gauge: Gauge) => void): void => {
    new Gauge({
      name,
      help,
      labelNames: [...labels],
      registers: [registry],
      collect() {
        this.reset();
        read(this);
      },
    });
  };
  gauge('weft_pods', 'Pods of this node that are in the mesh.', [], (pods) => {
    pods.set(status().pods);
  });
  gauge('weft_workers', 'Worker processes, wanted and running.', ['state'], (workers) => {
    const { wanted, running } = status().workers;
    workers.set({ state: 'wanted' }, wanted);
    workers.set({ state: 'running' }, running);
  });
  gauge('weft_worker_restarts', 'How often a worker was started again.', [], (restarts) => {
    restarts.set(status().workers.restarts);
  });
  gauge('weft_directory_connected', '1 while the controller tells this agent of changes.', [], (connected) => {
    connected.set(status().isDirectoryConnected ? 1 : 0);
  });
  gauge('weft_clock_skew_seconds', "How far the node's clock is ahead of the controller's.", [], (skew) => {
    const { clockSkewMs } = status().identities;
    if (clockSkewMs === undefined) skew.remove();
    else skew.set(clockSkewMs / 1000);
  });
  gauge(
    'control_identity_cert_expiration_timestamp_seconds',
    'When the certificate of an identity ends.',
    ['identity'],
    (expiration) => {
      for (const { identity, notAfter } of status().identities.identities)
        if (notAfter !== undefined) expiration.set({ identity }, notAfter.getTime() / 1000);
    },
  );
}
