/**
 * Where a worker counts and main reads, without a lock: memory that both map and that outlives the worker. First the states of all slots,
 * u32 each, so that who looks for slots touches (and thereby allocates) nothing else; then the slots, each of which holds one series set
 * (series-sets.ts): u16 number of the set, u16 length of the key, padding to 8 bytes; the set's cells, f64 each; the key in UTF-8.
 *
 * Each change of state has but one side that may make it, so a slot never changes its key while the other side looks at it:
 *   free → live     by the worker, once key and cells are written
 *   live → retired  by the worker, which writes no more to it
 *   retired → free  by main, once it has added the counts to its own
 * All cells are whole numbers (sums of times in microseconds), so that sums are exact in whatever order they are formed: a counter
 * that fell by a rounding error would pass for a restart.
 */
export const slots = 8192;
const slotBytes = 1024;
const slotsAt = 4 * slots;
const setAt = 0;
const lengthAt = 2;
const cellsAt = 8;

export const seriesMemoryBytes = slotsAt + slots * slotBytes;

export const states = { free: 0, live: 1, retired: 2 } as const;
export type State = (typeof states)[keyof typeof states];

/** What a key may have beside so many cells. */
export function maximumKeyBytes(cells: number): number {
  return slotBytes - cellsAt - 8 * cells;
}

function offsetOf(slot: number): number {
  return slotsAt + slot * slotBytes;
}

export class SeriesMemory {
  /** See firstCell(). */
  readonly cells: Float64Array;
  readonly #states: Int32Array;
  readonly #view: DataView;

  /** @param buffer of seriesMemoryBytes */
  constructor(buffer: ArrayBuffer) {
    this.cells = new Float64Array(buffer);
    this.#states = new Int32Array(buffer, 0, slots);
    this.#view = new DataView(buffer);
  }

  state(slot: number): number {
    return Atomics.load(this.#states, slot);
  }

  setState(slot: number, state: State): void {
    Atomics.store(this.#states, slot, state);
  }

  firstCell(slot: number): number {
    return (offsetOf(slot) + cellsAt) / 8;
  }

  /** Of a slot that is free: it becomes live, with all its cells at 0. */
  take(slot: number, set: number, cells: number, key: Uint8Array): void {
    const offset = offsetOf(slot);
    const first = this.firstCell(slot);
    this.cells.fill(0, first, first + cells);
    this.#view.setUint16(offset + setAt, set, true);
    this.#view.setUint16(offset + lengthAt, key.length, true);
    new Uint8Array(this.cells.buffer).set(key, offset + cellsAt + 8 * cells);
    this.setState(slot, states.live);
  }

  setOf(slot: number): number {
    return this.#view.getUint16(offsetOf(slot) + setAt, true);
  }

  /** Whatever stands there, not beyond the slot. */
  keyOf(slot: number, cells: number): string {
    const offset = offsetOf(slot);
    const length = Math.min(this.#view.getUint16(offset + lengthAt, true), maximumKeyBytes(cells));
    return Buffer.from(this.cells.buffer, offset + cellsAt + 8 * cells, length).toString();
  }
}
