import { SeriesMemory, slots, states } from './series-memory.ts';
import type { Labels, SeriesSet, SetName } from './series-sets.ts';
import { foldedKey, keyOfLabels, seriesSet, seriesSets } from './series-sets.ts';

/** As Linkerd's. */
const idleSweeps = 60;
/** Between two calls of sweep(). */
export const sweepIntervalMs = 10_000;
/** Slots that only series of what found no room may take; more than there are combinations of kept labels. */
const reservedSlots = 128;
/** Nobody reads it: for counts that find no place at all, as a predecessor may have left no slot that is free. */
const scratch = 0;

/** Where somebody counts. It stays good for ever: a series that was given up begins anew when it is counted in again. */
export class Series {
  readonly set: SeriesSet;
  readonly key: string;
  /** Of the SeriesWriter: valid while the slot's generation is this one. */
  slot = 0;
  generation = 0;

  constructor(set: SeriesSet, key: string) {
    this.set = set;
    this.key = key;
  }
}

/** Counts of one worker, in memory that main reads (series-memory.ts). A successor counts on in the same memory. */
export class SeriesWriter {
  readonly #memory: SeriesMemory;
  readonly #cells: Float64Array;
  readonly #bySet: readonly Map<string, number>[] = seriesSets.map(() => new Map<string, number>());
  readonly #free: number[] = [];
  readonly #retired: number[] = [];
  /** By slot: changes whenever those who count there have to look again. */
  readonly #generations = new Uint32Array(slots).fill(1);
  readonly #touched = new Uint32Array(slots);
  /** Slots of what found no room of its own, and which of `overflows` counts it. */
  readonly #folded = new Map<number, Series>();
  readonly #overflows = new Map<SeriesSet, Series>();
  #sweeps = 0;

  /** @param buffer of seriesMemoryBytes */
  constructor(buffer: ArrayBuffer) {
    this.#memory = new SeriesMemory(buffer);
    this.#cells = this.#memory.cells;
    for (let slot = slots - 1; slot > scratch; slot--) this.#adopt(slot);
  }

  /** To count in. Whoever keeps it saves looking for it. */
  series(set: SetName, labels: Labels): Series {
    const found = seriesSet(set);
    return new Series(found, keyOfLabels(found, labels));
  }

  /** @param amount not below 0, a whole number */
  add(series: Series, cell: number, amount: number): void {
    const at = this.#firstCell(series) + cell;
    this.#cells[at] = (this.#cells[at] ?? 0) + amount;
    if (this.#folded.size > 0) this.#countFolded(series.slot);
  }

  /** Of a gauge. Without a series of its own none is kept: nobody could say of what. */
  setGauge(series: Series, cell: number, value: number): void {
    const first = this.#firstCell(series);
    if (!this.#folded.has(series.slot)) this.#cells[first + cell] = value;
  }

  /** @param firstCell of a histogram; @param value in the family's unit */
  observe(series: Series, firstCell: number, bounds: readonly number[], scale: number, value: number): void {
    const first = this.#firstCell(series) + firstCell;
    let bucket = 0;
    while (bucket < bounds.length && value > (bounds[bucket] ?? Infinity)) bucket++;
    const sum = first + bounds.length + 1;
    this.#cells[first + bucket] = (this.#cells[first + bucket] ?? 0) + 1;
    this.#cells[sum] = (this.#cells[sum] ?? 0) + Math.round(value * scale);
    if (this.#folded.size > 0) this.#countFolded(series.slot);
  }

  /** Keeps a series that is not counted in at the moment. */
  touch({ slot, generation }: Series): void {
    if (this.#generations[slot] === generation) this.#touched[slot] = this.#sweeps;
  }

  /** To be called every sweepIntervalMs: gives up what nobody has counted in for ten minutes, and finds what main has freed. */
  sweep(): void {
    this.#sweeps++;
    const before = this.#free.length;
    for (const slot of this.#retired.splice(0)) {
      if (this.#memory.state(slot) === states.retired) this.#retired.push(slot);
      else this.#free.push(slot);
    }
    for (const [number, slotsOfSet] of this.#bySet.entries()) {
      for (const [key, slot] of slotsOfSet) if (this.#isIdle(slot)) this.#retire(number, key, slot);
    }
    if (this.#free.length > before) for (const slot of [scratch, ...this.#folded.keys()]) this.#changeGeneration(slot);
  }

  #isIdle(slot: number): boolean {
    return this.#sweeps - (this.#touched[slot] ?? 0) > idleSweeps;
  }

  #retire(set: number, key: string, slot: number): void {
    this.#bySet[set]?.delete(key);
    this.#folded.delete(slot);
    this.#changeGeneration(slot);
    this.#retired.push(slot);
    this.#memory.setState(slot, states.retired);
  }

  #changeGeneration(slot: number): void {
    this.#generations[slot] = (this.#generations[slot] ?? 0) + 1;
  }

  #firstCell(series: Series): number {
    const { slot } = series;
    if (this.#generations[slot] !== series.generation) return this.#find(series);
    this.#touched[slot] = this.#sweeps;
    return this.#memory.firstCell(slot);
  }

  #find(series: Series): number {
    const { set, key } = series;
    const slot = this.#slotOf(set, key, set.name === 'overflow' ? 0 : reservedSlots) ?? this.#slotOfFolded(set, key);
    series.slot = slot;
    series.generation = this.#generations[slot] ?? 0;
    this.#touched[slot] = this.#sweeps;
    return this.#memory.firstCell(slot);
  }

  #slotOfFolded(set: SeriesSet, key: string): number {
    const slot = this.#slotOf(set, foldedKey(set, key), 0);
    if (slot === undefined) return scratch;
    if (!this.#folded.has(slot)) this.#folded.set(slot, this.#overflowOf(set));
    return slot;
  }

  /** @param reserved slots that have to stay free */
  #slotOf(set: SeriesSet, key: string, reserved: number): number | undefined {
    const known = this.#bySet[set.number]?.get(key);
    if (known !== undefined) return known;
    if (this.#free.length <= reserved) return undefined;
    const bytes = Buffer.from(key);
    if (bytes.length > set.maximumKeyBytes) return undefined;
    const slot = this.#free.pop();
    if (slot === undefined) return undefined;
    this.#memory.take(slot, set.number, set.cells, bytes);
    this.#bySet[set.number]?.set(key, slot);
    return slot;
  }

  #overflowOf(set: SeriesSet): Series {
    const known = this.#overflows.get(set);
    if (known !== undefined) return known;
    const overflow = this.series('overflow', { series: set.name });
    this.#overflows.set(set, overflow);
    return overflow;
  }

  #countFolded(slot: number): void {
    const overflow = this.#folded.get(slot);
    if (overflow !== undefined) this.add(overflow, 0, 1);
  }

  /** What a predecessor has left; what makes no sense is main's to free. */
  #adopt(slot: number): void {
    const state = this.#memory.state(slot);
    if (state === states.retired) {
      this.#retired.push(slot);
    } else if (state === states.live) {
      const set = seriesSets[this.#memory.setOf(slot)];
      const key = set && this.#memory.keyOf(slot, set.cells);
      const slotsOfSet = set && this.#bySet[set.number];
      this.#touched[slot] = this.#sweeps;
      if (set === undefined || key === undefined || slotsOfSet === undefined || slotsOfSet.has(key)) {
        this.#retired.push(slot);
        this.#memory.setState(slot, states.retired);
        return;
      }
      slotsOfSet.set(key, slot);
      this.#mend(slot, set);
      if (set.name !== 'overflow' && key === foldedKey(set, key)) this.#folded.set(slot, this.#overflowOf(set));
    } else {
      this.#free.push(slot);
    }
  }

  /** Gauges were true of the predecessor's connections only. */
  #mend(slot: number, { parts, cells }: SeriesSet): void {
    const first = this.#memory.firstCell(slot);
    for (let cell = first; cell < first + cells; cell++)
      if (!Number.isSafeInteger(this.#cells[cell])) this.#cells[cell] = 0;
    for (const { definition, firstCell } of parts) if (definition.type === 'gauge') this.#cells[first + firstCell] = 0;
  }
}
