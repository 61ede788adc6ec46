import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import { once } from 'node:events';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { loadNativeAddon } from '../main/native.ts';
import { MergedFamilies } from './merged-series.ts';
import { SeriesMemory, seriesMemoryBytes, slots, states } from './series-memory.ts';
import { SeriesWriter } from './series-writer.ts';

const native = loadNativeAddon();
const pods = 200;
const rounds = 4;

function newMemory(t: TestContext, bytes: number): { descriptor: number; buffer: ArrayBuffer } {
  const descriptor = native.createSharedMemory(bytes);
  t.after(() => closeSync(descriptor));
  return { descriptor, buffer: native.mapSharedMemory(descriptor) };
}

class CountingWorker {
  readonly memory: { descriptor: number; buffer: ArrayBuffer };
  readonly tally: Float64Array;
  readonly #tally: number;
  #child: ChildProcess | undefined;

  constructor(t: TestContext) {
    this.memory = newMemory(t, seriesMemoryBytes);
    const { descriptor, buffer } = newMemory(t, 4096);
    this.#tally = descriptor;
    this.tally = new Float64Array(buffer);
    t.after(() => this.#child?.kill('SIGKILL'));
  }

  async start(): Promise<void> {
    const script = new URL('test-counting-worker.ts', import.meta.url).pathname;
    const stdio = ['ignore', 'ignore', 'inherit', this.memory.descriptor, this.#tally] as const;
    this.#child = spawn(process.execPath, [script, `${pods}`], { stdio: [...stdio] });
    const before = this.tally[1];
    for (let time = 0; this.tally[1] === before; time++) {
      assert.ok(time < 1000, 'it does not count');
      await delay(10);
    }
  }

  async kill(): Promise<void> {
    if (this.#child === undefined) return;
    const end = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await end;
  }
}

function retiredIn(buffer: ArrayBuffer): number {
  const memory = new SeriesMemory(buffer);
  let retired = 0;
  for (let slot = 1; slot < slots; slot++) if (memory.state(slot) === states.retired) retired++;
  return retired;
}

test('workers that are killed while they count lose and repeat nothing, and no scrape mixes series', async (t) => {
  const workers = [new CountingWorker(t), new CountingWorker(t)];
  // Counts nothing, but keeps every series: else main would drop what both workers have given up.
  const keeper = newMemory(t, seriesMemoryBytes);
  const writer = new SeriesWriter(keeper.buffer);
  for (let pod = 0; pod < pods; pod++)
    writer.add(writer.series('refused', { pod: `pod-${pod}`, reason: 'guard' }), 0, 0);
  const buffers = [...workers.map(({ memory }) => memory.buffer), keeper.buffer];
  const merged = new MergedFamilies(buffers);
  const last = new Map<string, number>();
  let reused = 0;

  const scrape = async (): Promise<number> => {
    for (const buffer of buffers) reused += retiredIn(buffer);
    await merged.update();
    const all = merged.seriesOf('weft_connections_refused_total');
    assert.equal(all.length, pods);
    let sum = 0;
    for (const series of all) {
      const value = series.value(0);
      assert.match(series.labels, /^pod="pod-\d+",reason="guard"$/);
      assert.ok(value >= (last.get(series.labels) ?? 0), `${series.labels} fell to ${value}`);
      last.set(series.labels, value);
      sum += value;
    }
    const after = workers.reduce((tallied, { tally }) => tallied + (tally[0] ?? 0), 0);
    assert.ok(sum <= after, `${sum} ≤ ${after}`); // what has begun since the look at its place is told next time
    return sum;
  };

  for (let round = 0; round < rounds; round++) {
    await Promise.all(workers.map((worker) => worker.start()));
    const end = performance.now() + 200 + Math.random() * 100;
    while (performance.now() < end) await scrape();
    await Promise.all(workers.map((worker) => worker.kill()));
    const sum = await scrape();
    assert.equal(await scrape(), sum, 'nothing is counted twice');
    // Who is killed between counting and noting it leaves one count that is not noted.
    const [begun, done] = [0, 1].map((at) => workers.reduce((all, { tally }) => all + (tally[at] ?? 0), 0));
    assert.ok(done !== undefined && begun !== undefined && done <= sum && sum <= begun, `${done} ≤ ${sum} ≤ ${begun}`);
    assert.ok(begun - done <= workers.length * (round + 1));
  }
  assert.ok(reused > pods, `only ${reused} places were given up and used again`);
});
