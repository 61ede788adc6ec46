import { Gauge } from 'prom-client';

import type { AnyRegistry } from '../../admin/registries.ts';

export function registerLeadershipMetrics(registry: AnyRegistry, isLeader: () => boolean): void {
  new Gauge({
    name: 'weft_controller_leader',
    help: 'Whether this replica is the one that writes to the API server: 1 of exactly one replica, 0 of the others.',
    registers: [registry],
    collect() {
      this.set(isLeader() ? 1 : 0);
    },
  });
}
