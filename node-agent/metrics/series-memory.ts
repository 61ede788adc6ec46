/**
 * Series that a worker counts in and main reads, in memory that both map and that outlives the worker: its successor finds the series
 * there and counts on. One worker writes at a time; main may read at any moment, as a series is complete before `used` covers it.
 *
 * Layout: u32 used, padding to 16 bytes; then slots of 512 bytes: f64 value, u16 length of the key, the key in UTF-8.
 */
const headerBytes = 16;
const slotBytes = 512;
const keyAt = 10;
const maximumKeyBytes = slotBytes - keyAt;
const slots = 4096;

export const seriesMemoryBytes = headerBytes + slots * slotBytes;

/** Counts what found no slot of its own. */
export const overflowKey = 'weft_metrics_overflow_total{}';

export class SeriesWriter {
  readonly #used: Uint32Array;
  readonly #bytes: Uint8Array;
  readonly #values: Float64Array;
  readonly #cells = new Map<string, number>();
  readonly #overflow: number;

  /** @param buffer of seriesMemoryBytes */
  constructor(buffer: ArrayBuffer) {
    this.#used = new Uint32Array(buffer, 0, 1);
    this.#bytes = new Uint8Array(buffer);
    this.#values = new Float64Array(buffer);
    const [first] = readSlots(buffer);
    if (first?.key !== overflowKey) this.#used[0] = 0; // new, or a predecessor that broke has left it so
    this.#overflow = first?.key === overflowKey ? first.cell : this.#take(Buffer.from(overflowKey));
    for (const { key, cell } of readSlots(buffer)) this.#cells.set(key, cell);
    for (const cell of this.#cells.values()) if (!Number.isFinite(this.#values[cell])) this.#values[cell] = 0;
  }

  /** Where the series of this key is counted: see add(). Series that do not fit, or do not exist for want of room, share one cell. */
  cell(key: string): number {
    const known = this.#cells.get(key);
    if (known !== undefined) return known;
    const bytes = Buffer.from(key);
    if ((this.#used[0] ?? 0) >= slots || bytes.length > maximumKeyBytes) return this.#overflow;
    const cell = this.#take(bytes);
    this.#cells.set(key, cell);
    return cell;
  }

  #take(key: Uint8Array): number {
    const used = this.#used[0] ?? 0;
    const offset = headerBytes + used * slotBytes;
    this.#values[offset / 8] = 0;
    new DataView(this.#bytes.buffer).setUint16(offset + 8, key.length, true);
    this.#bytes.set(key, offset + keyAt);
    Atomics.store(this.#used, 0, used + 1);
    return offset / 8;
  }

  /** Less than nothing only in a gauge; without a series of its own a gauge is not kept, and of a sum only that it is missing. */
  add(cell: number, amount: number): void {
    const counted = cell !== this.#overflow ? amount : amount > 0 ? 1 : 0;
    this.#values[cell] = (this.#values[cell] ?? 0) + counted;
  }

  /** What was true of the predecessor's connections only. */
  clear(isGauge: (key: string) => boolean): void {
    for (const [key, cell] of this.#cells) if (isGauge(key)) this.#values[cell] = 0;
  }
}

export interface Series {
  readonly key: string;
  readonly value: number;
}

/** Believes nothing that the worker wrote: no length leads out of the memory, and values that are no counts are 0. */
export function readSeries(buffer: ArrayBuffer): Series[] {
  const values = new Float64Array(buffer);
  return readSlots(buffer).map(({ key, cell }) => {
    const value = values[cell] ?? 0;
    return { key, value: Number.isFinite(value) ? value : 0 };
  });
}

function readSlots(buffer: ArrayBuffer): { readonly key: string; readonly cell: number }[] {
  const view = new DataView(buffer);
  const used = Math.min(Atomics.load(new Uint32Array(buffer, 0, 1), 0), slots);
  return Array.from({ length: used }, (_, slot) => {
    const offset = headerBytes + slot * slotBytes;
    const length = Math.min(view.getUint16(offset + 8, true), maximumKeyBytes);
    return { key: Buffer.from(buffer, offset + keyAt, length).toString(), cell: offset / 8 };
  });
}
