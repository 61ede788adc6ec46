export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** The lines of Prometheus' text format that are samples; others are passed over, as a newer agent may write what we do not know. */
export function parseSamples(text: string): Sample[] {
  return text.split('\n').flatMap((line) => readSample(line) ?? []);
}

const sampleLine = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)(?: -?\d+)?$/;
const label = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;

function readSample(line: string): Sample | undefined {
  const [, name, labels = '', text = ''] = sampleLine.exec(line) ?? [];
  const value = Number(text.replace('Inf', 'Infinity'));
  if (name === undefined || Number.isNaN(value)) return undefined; // which tells nothing
  return {
    name,
    value,
    labels: Object.fromEntries(
      [...labels.matchAll(label)].map(([, key = '', raw = '']) => [key, unescape(raw)] as const),
    ),
  };
}

function unescape(text: string): string {
  return text.replaceAll(/\\(.)/g, (_, character: string) => (character === 'n' ? '\n' : character));
}
