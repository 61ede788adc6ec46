import { Counter, Gauge } from 'prom-client';

import type { AnyRegistry } from '../../../admin/registries.ts';
import type { Reflector } from './reflector.ts';

/** How well the controller keeps up with the API server. */
export function registerSourceMetrics(registry: AnyRegistry, reflectors: readonly Reflector[]): void {
  const registers = [registry];
  new Gauge({
    name: 'weft_source_objects',
    help: 'Objects that the controller knows from the API server, by kind.',
    labelNames: ['kind'],
    registers,
    collect() {
      for (const { resource, objects } of reflectors) this.set({ kind: resource.kind }, objects);
    },
  });
  new Gauge({
    name: 'weft_source_heard_timestamp_seconds',
    help: 'When the API server said something of a kind last, bookmarks included.',
    labelNames: ['kind'],
    registers,
    collect() {
      for (const { resource, lastHeard } of reflectors) this.set({ kind: resource.kind }, lastHeard / 1000);
    },
  });
  new Counter({
    name: 'weft_source_lists_total',
    help: 'How often all objects of a kind were listed, by what made it necessary.',
    labelNames: ['kind', 'reason'],
    registers,
    collect() {
      this.reset();
      for (const { resource, lists } of reflectors) {
        for (const [reason, count] of lists) this.inc({ kind: resource.kind, reason }, count);
      }
    },
  });
}
