import { setImmediate as nextTurn } from 'node:timers/promises';

import type { Format } from '../../admin/exposition.ts';
import type { Family, FamilyName } from './families.ts';
import { families } from './families.ts';
import type { MergedFamilies, MergedSeries } from './merged-series.ts';

/** What is written in one turn of the loop: about 1 ms. */
const charactersPerTurn = 65_536;

/** The families that workers count, as Prometheus' text format 0.0.4 or as OpenMetrics 1.0, which has no end: `# EOF` is the caller's. */
export async function* writeWorkerFamilies(merged: MergedFamilies, format: Format): AsyncGenerator<string> {
  await merged.update();
  let text = '';
  for (const [name, family] of Object.entries<Family>(families) as [FamilyName, Family][]) {
    text += headOf(name, family, format);
    const write = family.type === 'histogram' ? histogramWriter(name, family, format) : sampleWriter(name);
    for (const series of merged.seriesOf(name)) {
      text += write(series);
      if (text.length < charactersPerTurn) continue;
      yield text;
      text = '';
      await nextTurn();
    }
  }
  yield text;
}

function headOf(name: string, { type, help }: Family, format: Format): string {
  const told = type === 'counter' && format === 'openMetrics' ? name.replace(/_total$/, '') : name;
  return `# HELP ${told} ${help}\n# TYPE ${told} ${type}\n`;
}

type Write = (series: MergedSeries) => string;

function sampleWriter(name: string): Write {
  return (series) => {
    const labels = series.labels === '' ? '' : `{${series.labels}}`;
    return `${name}${labels} ${series.value(0)}\n`;
  };
}

/** Cells: a bucket for each bound, that of +Inf, the sum. The buckets of a worker that counts meanwhile still make up the count. */
function histogramWriter(name: string, { bounds = [], scale = 1 }: Family, format: Format): Write {
  const ends = [...bounds.map((bound) => textOfBound(bound, format)), '+Inf'].map((bound) => `le="${bound}"} `);
  return (series) => {
    const labels = series.labels === '' ? '' : `${series.labels},`;
    const own = series.labels === '' ? '' : `{${series.labels}}`;
    let text = '';
    let count = 0;
    for (const [bucket, end] of ends.entries()) {
      count += series.value(bucket);
      text += `${name}_bucket{${labels}${end}${count}\n`;
    }
    const sum = series.value(ends.length) / scale;
    return `${text}${name}_sum${own} ${sum}\n${name}_count${own} ${count}\n`;
  };
}

/** OpenMetrics 1.0, "Canonical Numbers": a whole number has a point. */
function textOfBound(bound: number, format: Format): string {
  return format === 'openMetrics' && Number.isInteger(bound) ? `${bound}.0` : `${bound}`;
}
