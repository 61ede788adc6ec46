import type { AnyRegistry, Registries } from './registries.ts';

/** What is told at /metrics, in one format. */
export interface Exposition {
  readonly contentType: string;
  /** Pieces of any length, with turns of the loop between them. */
  write(): AsyncIterable<string>;
}

export interface Expositions {
  readonly text: Exposition;
  readonly openMetrics: Exposition;
}

export type Format = keyof Expositions;

/** @param writeMore what is told before that of the registry; no family of it may be in both */
export function createExpositions(
  registries: Registries,
  writeMore?: (format: Format) => AsyncIterable<string>,
): Expositions {
  const of = (registry: AnyRegistry, format: Format): Exposition => ({
    contentType: registry.contentType,
    async *write() {
      if (writeMore !== undefined) yield* writeMore(format);
      yield await registry.metrics(); // ends with # EOF in OpenMetrics
    },
  });
  return { text: of(registries.text, 'text'), openMetrics: of(registries.openMetrics, 'openMetrics') };
}
