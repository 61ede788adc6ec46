import { setImmediate as nextTurn, setInterval } from 'node:timers/promises';

import type { FamilyName } from './families.ts';
import { SeriesMemory, slots, states } from './series-memory.ts';
import type { Labels, SetPart } from './series-sets.ts';
import { derivedLabels, labelsOfKey, seriesSets } from './series-sets.ts';

/** Slots that are looked at in one turn of the loop: about 3 ms where all of them are new. */
const slotsPerTurn = 256;

/** One place in a worker's memory that counts for a series. */
interface Source {
  readonly cells: Float64Array;
  readonly first: number;
}

/** One series of all workers. */
export class MergedSeries {
  /** As they are written: a="b",c="d" */
  readonly labels: string;
  readonly #sources = new Set<Source>();
  /** Of places that workers have given up while others went on. */
  readonly #departed: Float64Array;

  constructor(labels: string, cells: number) {
    this.labels = labels;
    this.#departed = new Float64Array(cells);
  }

  /** @param cell of the family's own: see SetPart */
  value(cell: number): number {
    let sum = this.#departed[cell] ?? 0;
    for (const source of this.#sources) sum += countAt(source, cell);
    return sum;
  }

  add(source: Source): void {
    this.#sources.add(source);
  }

  /** What was counted there stays. */
  fold(source: Source): void {
    if (!this.#sources.delete(source)) return;
    for (const [cell, sum] of this.#departed.entries()) this.#departed[cell] = sum + countAt(source, cell);
  }

  /** Nobody counts in it. */
  get isOrphan(): boolean {
    return this.#sources.size === 0;
  }
}

/** Workers parse what strangers send: what is no count is 0. */
function countAt({ cells, first }: Source, cell: number): number {
  const value = cells[first + cell] ?? 0;
  return Number.isSafeInteger(value) && value > 0 ? value : 0;
}

/** What a slot counts for. */
type Place = readonly { readonly family: FamilyName; readonly series: MergedSeries; readonly source: Source }[];

/** What all workers have counted, by family. Workers may count and die at any time: see series-memory.ts. */
export class MergedFamilies {
  readonly #memories: readonly SeriesMemory[];
  /** What is known of each slot that is not free. */
  readonly #places: readonly (Place | undefined)[][];
  readonly #families = new Map<FamilyName, Map<string, MergedSeries>>();
  readonly #orphans = new Map<MergedSeries, FamilyName>();

  /** @param buffers of the workers, by slot of the supervisor */
  constructor(buffers: readonly ArrayBuffer[]) {
    this.#memories = buffers.map((buffer) => new SeriesMemory(buffer));
    this.#places = buffers.map(() => Array<Place | undefined>(slots).fill(undefined));
  }

  /** The array stays as it is; the values go on. */
  seriesOf(family: FamilyName): readonly MergedSeries[] {
    return [...(this.#families.get(family)?.values() ?? [])];
  }

  /**
   * Takes in what workers have begun, and lets go of what they have given up. A series is gone when nobody has counted in it during a
   * whole look at all slots: one worker may have begun what another gave up.
   */
  async update(): Promise<void> {
    const orphans = [...this.#orphans];
    for (const [worker, memory] of this.#memories.entries()) {
      const places = this.#places[worker] ?? [];
      for (let slot = 1; slot < slots; slot++) {
        if (slot % slotsPerTurn === 0) await nextTurn();
        this.#updateSlot(memory, slot, places);
      }
    }
    for (const [series, family] of orphans)
      if (this.#orphans.delete(series) && series.isOrphan) this.#families.get(family)?.delete(series.labels);
  }

  /** Until it is aborted, also where nobody scrapes: workers need the places that they have given up. */
  async keepUpdated(everyMs: number, signal: AbortSignal): Promise<void> {
    try {
      for await (const turn of setInterval(everyMs, this, { signal, ref: false })) await turn.update();
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  #updateSlot(memory: SeriesMemory, slot: number, places: (Place | undefined)[]): void {
    const state = memory.state(slot);
    const isRetired = state === states.retired;
    if (state === states.live || isRetired) places[slot] ??= this.#look(memory, slot);
    if (state === states.live) return;
    const place = places[slot];
    if (place !== undefined) this.#fold(place);
    places[slot] = undefined;
    if (isRetired) memory.setState(slot, states.free);
  }

  #look(memory: SeriesMemory, slot: number): Place {
    const set = seriesSets[memory.setOf(slot)];
    const labels = set && labelsOfKey(set, memory.keyOf(slot, set.cells));
    if (set === undefined || labels === undefined) return [];
    return set.parts.map((part) => {
      const series = this.#find(part, textOf(part, labels));
      const source = { cells: memory.cells, first: memory.firstCell(slot) + part.firstCell };
      series.add(source);
      return { family: part.family, series, source };
    });
  }

  #find({ family, cells }: SetPart, labels: string): MergedSeries {
    let all = this.#families.get(family);
    if (all === undefined) this.#families.set(family, (all = new Map<string, MergedSeries>()));
    let series = all.get(labels);
    if (series === undefined) all.set(labels, (series = new MergedSeries(labels, cells)));
    return series;
  }

  #fold(place: Place): void {
    for (const { family, series, source } of place) {
      series.fold(source);
      if (series.isOrphan) this.#orphans.set(series, family);
    }
  }
}

/** Those that say something, in the family's order: a label without a value is one that is not there. */
function textOf({ definition }: SetPart, labels: Labels): string {
  const pairs: string[] = [];
  for (const label of definition.labels) {
    const value = derivedLabels[label]?.(labels) ?? labels[label] ?? '';
    if (value !== '') pairs.push(`${label}="${escapeLabel(value)}"`);
  }
  return pairs.join(',');
}

function escapeLabel(value: string): string {
  return /["\\\n]/.test(value) ? value.replace(/["\\]/g, '\\$&').replaceAll('\n', '\\n') : value;
}
