import { setTimeout as delay } from 'node:timers/promises';

import type { AgentConfig } from '../config.ts';
import type { Logger } from '../log.ts';
import type { Broker } from './broker.ts';
import { startBroker } from './broker.ts';
import type { NativeAddon } from './native.ts';
import { RestartBackoff } from './restart-backoff.ts';

export interface BrokerKeeperOptions {
  readonly config: Pick<AgentConfig, 'workerUid'>;
  readonly native: NativeAddon;
  readonly generation: string;
  /** Descriptor of the map that listeners belong into. */
  readonly listenersMap: number;
  /** Once aborted, none takes the place of one that ends. */
  readonly signal: AbortSignal;
  /** Upstream sockets cannot be made without it, so a new one gets every pod at once; its listeners replace the old. */
  readonly onReplaced: () => Promise<void>;
  readonly log: Logger;
}

/** The broker of a generation, and the next one where it ends: ever later, if that happens soon. */
export class BrokerKeeper {
  readonly #options: BrokerKeeperOptions;
  readonly #backoff = new RestartBackoff();
  #startedAt = 0;
  #current: Broker | undefined;
  #isDraining = false;

  constructor(options: BrokerKeeperOptions) {
    this.#options = options;
  }

  get current(): Broker {
    if (this.#current === undefined) throw new Error('the broker is asked for before it has started');
    return this.#current;
  }

  /** @throws WeftError WEFT-E105 */
  async start(): Promise<void> {
    const { config, native, generation, listenersMap } = this.#options;
    this.#startedAt = performance.now();
    this.#current = await startBroker(config, native, generation, listenersMap, () => this.#onLost());
  }

  /** It ends when its workers have; none takes its place. */
  drain(graceMs: number): void {
    this.#isDraining = true;
    this.#current?.drain(graceMs);
  }

  /** The broker itself goes on. */
  close(): void {
    this.#current?.close();
  }

  #onLost(): void {
    const { signal, onReplaced, log } = this.#options;
    if (signal.aborted || this.#isDraining) return;
    const waitMs = this.#backoff.next(performance.now() - this.#startedAt);
    log.error({ waitMs: Math.round(waitMs) }, 'the broker ended; starting another');
    delay(waitMs, undefined, { signal })
      .then(() => this.start())
      .then(onReplaced)
      .catch((error: unknown) => {
        if (signal.aborted) return;
        log.error({ error }, 'the broker could not be started again');
        process.exitCode = 1;
        process.kill(process.pid, 'SIGTERM');
      });
  }
}
