import type { OpenMetricsContentType } from 'prom-client';
import { Gauge, Registry, collectDefaultMetrics } from 'prom-client';

import { version } from '../mesh/version.ts';

/** One for each format: a registry writes but one. */
export interface Registries {
  readonly text: Registry;
  readonly openMetrics: Registry<OpenMetricsContentType>;
}

export type AnyRegistry = Registry | Registry<OpenMetricsContentType>;

/** With what every process tells of itself; `fill` adds the rest to each. */
export function createRegistries(fill: (registry: AnyRegistry) => void): Registries {
  const text = new Registry();
  const openMetrics = new Registry<OpenMetricsContentType>();
  openMetrics.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
  for (const registry of [text, openMetrics] as const) {
    collectDefaultMetrics({ register: registry as Registry });
    new Gauge({
      name: 'weft_build_info',
      help: 'What runs here.',
      labelNames: ['version'],
      registers: [registry],
      collect() {
        this.set({ version }, 1);
      },
    });
    fill(registry);
  }
  return { text, openMetrics };
}
