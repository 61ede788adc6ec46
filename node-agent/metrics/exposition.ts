import { Gauge } from 'prom-client';

import type { Expositions } from '../../admin/exposition.ts';
import { createExpositions } from '../../admin/exposition.ts';
import type { AnyRegistry } from '../../admin/registries.ts';
import { createRegistries } from '../../admin/registries.ts';
import type { AgentStatus } from './agent-status.ts';
import { MergedFamilies } from './merged-series.ts';
import { writeWorkerFamilies } from './worker-exposition.ts';

/** Well below the time after which a worker gives a place up. */
const updateEveryMs = 60_000;

/**
 * @param memories of the workers, by slot
 * @param status asked at every scrape
 * @param running until it is aborted, places that workers give up are freed also when nobody scrapes
 */
export function createAgentExpositions(
  memories: readonly ArrayBuffer[],
  status: () => AgentStatus,
  registerMore?: (registry: AnyRegistry) => void,
  running?: AbortSignal,
): Expositions {
  const merged = new MergedFamilies(memories);
  if (running) void merged.keepUpdated(updateEveryMs, running);
  const registries = createRegistries((registry) => {
    registerMore?.(registry);
    addAgentFamilies(registry, status);
  });
  return createExpositions(registries, (format) => writeWorkerFamilies(merged, format));
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
  gauge('weft_cni_repairs', 'How often others had changed what was installed of the CNI plugin.', [], (repairs) => {
    const { cni } = status();
    if (cni === undefined) repairs.remove();
    else repairs.set(cni.repairs);
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
