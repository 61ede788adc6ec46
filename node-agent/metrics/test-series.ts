import type { FamilyName } from './families.ts';
import { SeriesMemory, slots, states } from './series-memory.ts';
import type { Labels } from './series-sets.ts';
import { labelsOfKey, seriesSets } from './series-sets.ts';

export interface Count {
  readonly family: FamilyName;
  readonly labels: Labels;
  /** Of a histogram: how much was observed. */
  readonly value: number;
}

/** What stands in a worker's memory, slot by slot, without what is empty. Labels are those of the family, but for derived ones. */
export function countsIn(buffer: ArrayBuffer): Count[] {
  const memory = new SeriesMemory(buffer);
  const counts: Count[] = [];
  for (let slot = 1; slot < slots; slot++) {
    const set = seriesSets[memory.setOf(slot)];
    if (memory.state(slot) === states.free || set === undefined) continue;
    const all = labelsOfKey(set, memory.keyOf(slot, set.cells)) ?? {};
    for (const { family, definition, firstCell, cells } of set.parts) {
      const first = memory.firstCell(slot) + firstCell;
      const counted = memory.cells.subarray(first, first + (cells === 1 ? 1 : cells - 1));
      const labels = Object.fromEntries(
        Object.entries(all).filter(([name, value]) => value !== '' && definition.labels.includes(name)),
      );
      counts.push({ family, labels, value: counted.reduce((sum, one) => sum + one, 0) });
    }
  }
  return counts;
}

/** Sum over the series of a family that have these labels. */
export function sumIn(buffer: ArrayBuffer, family: FamilyName, labels: Labels = {}): number {
  return countsIn(buffer)
    .filter(
      (one) => one.family === family && Object.entries(labels).every(([name, value]) => one.labels[name] === value),
    )
    .reduce((sum, { value }) => sum + value, 0);
}
