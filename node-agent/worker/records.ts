/** Above what one turn of the engine's loop mostly ends; more are shown by another call. */
const maximumAtOnce = 64;

/** Records that the engine fills, to show many by one call. */
export class Records<Record> {
  readonly buffer: ArrayBuffer;
  readonly #records: readonly Record[];

  /** @param bytes of one record */
  constructor(Type: new (buffer: ArrayBuffer, at: number) => Record, bytes: number) {
    const buffer = new ArrayBuffer(maximumAtOnce * bytes);
    this.buffer = buffer;
    this.#records = Array.from({ length: maximumAtOnce }, (_, index) => new Type(buffer, index * bytes));
  }

  at(index: number): Record {
    const record = this.#records[index];
    if (record === undefined) throw new RangeError(`the engine has no record ${index}`);
    return record;
  }
}
