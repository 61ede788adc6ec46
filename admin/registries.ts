import type { OpenMetricsContentType } from 'prom-client';
import { Registry, collectDefaultMetrics } from 'prom-client';

import { addProcessFamilies } from './process-metrics.ts';

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
    addProcessFamilies(registry);
    fill(registry);
  }
  return { text, openMetrics };
}
