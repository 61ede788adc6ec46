import assert from 'node:assert/strict';

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Exposition {
  readonly types: ReadonlyMap<string, string>;
  readonly samples: readonly Sample[];
}

const metricName = '[a-zA-Z_:][a-zA-Z0-9_:]*';
const label = String.raw`([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"`;
const sampleLine = new RegExp(String.raw`^(${metricName})(?:\{((?:${label}(?:,(?!\})|(?=\})))*)\})? (\S+)$`);
const number = /^(?:nan|[+-]inf|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)$/i; // the registry writes "Nan", and OpenMetrics allows it

/**
 * Reads what Prometheus reads, strictly: the text format 0.0.4, or OpenMetrics 1.0 without exemplars, units and timestamps, which we
 * do not write. Fails at anything else: at a series or a family that is told twice, or without its help and type before it, at a counter
 * below 0, and at a histogram that contradicts itself.
 */
export function parseExposition(text: string, format: 'text' | 'openMetrics'): Exposition {
  assert.ok(text.endsWith('\n'));
  const lines = text.slice(0, -1).split('\n');
  if (format === 'openMetrics') assert.equal(lines.pop(), '# EOF');
  const types = new Map<string, string>();
  const helps = new Set<string>();
  const samples: Sample[] = [];
  const seen = new Set<string>();
  const histograms = new Map<string, Histogram>();
  let family = '';
  for (const line of lines) {
    if (line === '' && format === 'text') continue;
    const [, keyword, name = '', rest = ''] = new RegExp(`^# (HELP|TYPE) (${metricName}) (.+)$`).exec(line) ?? [];
    if (keyword === 'HELP') {
      assert.ok(!helps.has(name), `${name} is told of twice`);
      assert.match(rest, /^(?:[^\\]|\\[\\n"])*$/);
      helps.add(name);
      family = name;
    }
    if (keyword === 'TYPE') {
      assert.ok(!types.has(name), `${name} is told of twice`);
      assert.match(rest, /^(?:counter|gauge|histogram|summary)$/);
      assert.equal(name, family, 'help stands before the type');
      types.set(name, rest);
    }
    if (keyword !== undefined) continue;
    const sample = readSample(line);
    const series = JSON.stringify([sample.name, Object.entries(sample.labels).sort()]);
    assert.ok(!seen.has(series), `twice: ${line}`);
    seen.add(series);
    const type = types.get(family) ?? assert.fail(`no type: ${line}`);
    assert.ok(belongs(sample.name, family, type, format), `${sample.name} in the family ${family}`);
    if (type === 'counter') assert.ok(sample.value >= 0, line);
    if (type === 'histogram') noteHistogram(histograms, family, sample);
    samples.push(sample);
  }
  for (const [name, histogram] of histograms) checkHistogram(name, histogram);
  return { types, samples };
}

interface Histogram {
  readonly buckets: [bound: number, count: number][];
  sum?: number;
  count?: number;
}

function noteHistogram(
  histograms: Map<string, Histogram>,
  family: string,
  { name, labels: { le, ...labels }, value }: Sample,
): void {
  const key = JSON.stringify([family, Object.entries(labels).sort()]);
  const histogram = histograms.get(key) ?? { buckets: [] };
  histograms.set(key, histogram);
  if (name.endsWith('_bucket')) {
    assert.ok(le !== undefined, `a bucket without le in ${key}`);
    histogram.buckets.push([Number(le.replace('+Inf', 'Infinity')), value]);
  } else {
    assert.equal(le, undefined);
    histogram[name.endsWith('_sum') ? 'sum' : 'count'] = value;
  }
}

function checkHistogram(name: string, { buckets, sum, count }: Histogram): void {
  assert.equal(buckets.at(-1)?.[0], Infinity, `${name} ends with +Inf`);
  assert.equal(buckets.at(-1)?.[1], count, `the count of ${name}`);
  assert.ok(sum !== undefined && sum >= 0, `the sum of ${name}`);
  for (const [index, [bound, value]] of buckets.entries()) {
    const [before, fewer] = buckets[index - 1] ?? [-Infinity, 0];
    assert.ok(bound > before && value >= fewer && Number.isSafeInteger(value), `bucket ${bound} of ${name}`);
  }
}

function readSample(line: string): Sample {
  const [, name = '', labels = '', ...groups] = sampleLine.exec(line) ?? assert.fail(`no sample: ${line}`);
  const value = groups.at(-1) ?? '';
  assert.match(value, number);
  const read: Record<string, string> = {};
  for (const [, key = '', text = ''] of labels.matchAll(new RegExp(label, 'g'))) {
    assert.ok(!Object.hasOwn(read, key), `label twice: ${line}`);
    read[key] = text.replaceAll(/\\(.)/g, (_, character) => (character === 'n' ? '\n' : String(character)));
  }
  return { name, labels: read, value: Number(value.replace('Inf', 'Infinity')) };
}

function belongs(sample: string, family: string, type: string, format: 'text' | 'openMetrics'): boolean {
  if (type === 'counter' && format === 'openMetrics') return sample === `${family}_total`;
  if (type === 'histogram') return [`${family}_bucket`, `${family}_sum`, `${family}_count`].includes(sample);
  if (type === 'summary') return [family, `${family}_sum`, `${family}_count`].includes(sample);
  return sample === family;
}
