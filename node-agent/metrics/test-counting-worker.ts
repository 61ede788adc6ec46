import { loadNativeAddon } from '../main/native.ts';
import { SeriesWriter } from './series-writer.ts';

/** Counts for ever, as fast as it can, until somebody kills it: see worker-death.test.ts. */
const native = loadNativeAddon();
const writer = new SeriesWriter(native.mapSharedMemory(3));
/** What it is about to count, and what it has counted. */
const tally = new Float64Array(native.mapSharedMemory(4));
const pods = Number(process.argv[2]);

function count(pod: number): void {
  const series = writer.series('refused', { pod: `pod-${pod}`, reason: 'guard' });
  tally[0] = (tally[0] ?? 0) + 1;
  writer.add(series, 0, 1);
  tally[1] = (tally[1] ?? 0) + 1;
}

/** Of the pods only some at a time, so that the rest is given up; another run of them each time. */
function run(first: number): void {
  for (let time = 0; time < 70; time++) {
    for (let pod = 0; pod < 20; pod++) count((first + pod) % pods);
    writer.sweep();
  }
  setImmediate(() => {
    run((first + 10) % pods);
  });
}

run(Math.floor(Math.random() * pods));
