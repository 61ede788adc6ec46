import { X509Certificate, createPrivateKey } from 'node:crypto';

import type { Expositions } from '../../admin/exposition.ts';
import type { ServerTls } from '../../admin/metrics-server.ts';
import { MetricsServer } from '../../admin/metrics-server.ts';
import type { ReviewReader } from '../../admin/readers.ts';
import { Readers } from '../../admin/readers.ts';
import { WeftError } from '../../mesh/errors.ts';
import type { ListenAddress } from '../../mesh/listen-address.ts';
import type { Credentials } from './identity/credentials.ts';
import { messageOf } from '../../mesh/message-of.ts';
import { sleep } from '../../mesh/sleep.ts';

export interface MetricsListenerOptions {
  readonly address: ListenAddress;
  readonly metrics: Expositions;
  readonly review: ReviewReader;
  readonly onProblem: (problem: WeftError) => void;
  readonly onError: (error: unknown) => void;
}

/** More than the controller takes for it. */
const reviewMs = 8000;
const listenAgainMs = 10_000;

/** Metrics for readers from elsewhere, under the agent's own identity: served from the first certificate on. */
export class MetricsListener {
  readonly #options: MetricsListenerOptions;
  readonly #server: MetricsServer;
  readonly #closed = new AbortController();
  #listening: Promise<void> | undefined;

  constructor(options: MetricsListenerOptions) {
    const { metrics, review, onProblem, onError } = options;
    this.#options = options;
    const readers = new Readers({ review, deadlineMs: reviewMs });
    this.#server = new MetricsServer({ metrics, readers, onProblem, onError });
  }

  readonly use = (credentials: Credentials): void => {
    this.#server.setTls(pemOf(credentials));
    this.#listening ??= this.#listen();
  };

  async close(): Promise<void> {
    this.#closed.abort();
    await this.#listening;
    await this.#server.close();
  }

  async #listen(): Promise<void> {
    const { address, onProblem } = this.#options;
    const { signal } = this.#closed;
    let isTold = false;
    while (!signal.aborted) {
      try {
        await this.#server.listen(address.host, address.port);
        return;
      } catch (cause) {
        const why = messageOf(cause);
        if (!isTold) onProblem(new WeftError('WEFT-E233', `metrics cannot be served: ${why}`, { cause }));
        isTold = true;
      }
      await sleep(listenAgainMs, signal);
    }
  }
}

function pemOf({ certificates, privateKey }: Credentials): ServerTls {
  const key = createPrivateKey({ key: Buffer.from(privateKey), format: 'der', type: 'pkcs8' });
  return {
    key: key.export({ format: 'pem', type: 'pkcs8' }),
    cert: certificates.map((der) => new X509Certificate(der).toString()).join(''),
  };
}
