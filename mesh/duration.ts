const millisecondsOf: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** The longest that a timer of Node holds: 2^31 - 1 ms, nearly 25 days. */
const longestMs = 2_147_483_647;

/** "500ms", "10s", "2m", "1h", "1d", or "0": Linkerd's form. @returns milliseconds @throws RangeError that names the text. */
export function parseDuration(text: string): number {
  const [, digits, unit] = /^(\d+)(ms|s|m|h|d)$/.exec(text === '0' ? '0ms' : text) ?? [];
  const duration = Number(digits) * (millisecondsOf[unit ?? ''] ?? NaN);
  if (!(duration <= longestMs))
    throw new RangeError(`"${text}" is not a duration such as 500ms, 10s or 2m, of at most 24d`);
  return duration;
}
