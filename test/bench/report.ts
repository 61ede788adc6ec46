import { median } from './loads.ts';

/** One figure of Weft's and the same of its peers, measured in one run. */
export interface Result {
  readonly case: string;
  readonly measure: string;
  readonly weft: number | null;
  readonly peers: Readonly<Record<string, number | null>>;
}

/** Figures go to standard error as they come; with JSON=1 one document goes to standard output at the end. */
export class Report {
  readonly #bench: string;
  readonly #results: Result[] = [];

  constructor(bench: string) {
    this.#bench = bench;
  }

  add(result: Result): void {
    this.#results.push(result);
    const round = (value: number | null): string => (value === null ? '-' : value.toPrecision(3));
    const peers = Object.entries(result.peers).map(([name, value]) => `${name} ${round(value)}`);
    process.stderr.write(`${result.case} (${result.measure}): weft ${round(result.weft)}  ${peers.join('  ')}\n`);
  }

  /** Of all rounds of each way, by its name. */
  addMedians(name: string, measure: string, values: ReadonlyMap<string, readonly number[]>): void {
    const { weft = null, ...peers } = Object.fromEntries([...values].map(([way, each]) => [way, median(each)]));
    this.add({ case: name, measure, weft, peers });
  }

  print(): void {
    if (process.env['JSON'] === '1')
      process.stdout.write(`${JSON.stringify({ bench: this.#bench, results: this.#results })}\n`);
  }
}
