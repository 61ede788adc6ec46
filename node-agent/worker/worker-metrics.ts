import type { Engine } from '../../native/engine.d.ts';
import { SeriesWriter, sweepIntervalMs } from '../metrics/series-writer.ts';
import { ConnectionMetrics } from './connection-metrics.ts';
import type { Destinations } from './destinations.ts';
import { HttpRequestMetrics } from './http/http-metrics.ts';
import type { HttpMetrics } from './http/metrics-sink.ts';
import type { WorkerPods } from './pods.ts';

/** What a worker counts, in memory that main reads. */
export class WorkerMetrics {
  readonly connections: ConnectionMetrics;
  readonly #engine: Pick<Engine, 'nameOf'>;
  readonly #writer: SeriesWriter;
  readonly #pods: Pick<WorkerPods, 'get'>;
  readonly #sweep: NodeJS.Timeout;

  /** @param memory of seriesMemoryBytes */
  constructor(memory: ArrayBuffer, engine: Pick<Engine, 'nameOf'>, pods: Pick<WorkerPods, 'get'>) {
    const writer = new SeriesWriter(memory);
    this.#engine = engine;
    this.#writer = writer;
    this.#pods = pods;
    this.connections = new ConnectionMetrics(writer, engine, pods);
    this.#sweep = setInterval(() => {
      this.connections.keepOpen();
      writer.sweep();
    }, sweepIntervalMs).unref();
  }

  requests(destinations: Pick<Destinations, 'find'>): HttpMetrics {
    return new HttpRequestMetrics({ writer: this.#writer, engine: this.#engine, pods: this.#pods, destinations });
  }

  /** Nothing is given up any more. */
  close(): void {
    clearInterval(this.#sweep);
  }
}
