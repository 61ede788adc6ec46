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
 * do not write. Fails at anything else, also at a series that is told twice.
 */
export function parseExposition(text: string, format: 'text' | 'openMetrics'): Exposition {
  assert.ok(text.endsWith('\n'));
  const lines = text.slice(0, -1).split('\n');
  if (format === 'openMetrics') assert.equal(lines.pop(), '# EOF');
  const types = new Map<string, string>();
  const samples: Sample[] = [];
  const seen = new Set<string>();
  let family = '';
  for (const line of lines) {
    if (line === '' && format === 'text') continue;
    const [, keyword, name = '', rest = ''] = new RegExp(`^# (HELP|TYPE) (${metricName}) (.+)$`).exec(line) ?? [];
    if (keyword === 'TYPE') {
      assert.ok(!types.has(name), `${name} is told of twice`);
      assert.match(rest, /^(?:counter|gauge|histogram|summary)$/);
      types.set(name, rest);
      family = name;
    }
    if (keyword !== undefined) continue;
    const sample = readSample(line);
    const series = JSON.stringify([sample.name, Object.entries(sample.labels).sort()]);
    assert.ok(!seen.has(series), `twice: ${line}`);
    seen.add(series);
    assert.ok(belongs(sample.name, family, types.get(family) ?? '', format), `${sample.name} in the family ${family}`);
    samples.push(sample);
  }
  return { types, samples };
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
