import { AdminServer } from '../../admin/admin-server.ts';
import type { Expositions } from '../../admin/exposition.ts';
import type { ReviewReader } from '../../admin/readers.ts';
import type { WeftError } from '../../mesh/errors.ts';
import type { AgentConfig } from '../config.ts';
import type { Logger } from '../log.ts';
import type { Credentials } from './identity/credentials.ts';
import { MetricsListener } from './metrics-listener.ts';

export interface AgentAdminOptions {
  readonly config: Pick<AgentConfig, 'admin' | 'metrics'>;
  readonly metrics: Expositions;
  readonly reasonsNotReady: () => readonly string[];
  readonly reviewReader: ReviewReader;
  readonly onProblem: (problem: WeftError) => void;
  readonly log: Logger;
}

/** What the agent tells of itself: all of it on the node's loopback, metrics to readers from elsewhere where that is wished. */
export class AgentAdmin {
  readonly #config: AgentAdminOptions['config'];
  readonly #server: AdminServer;
  readonly #listener: MetricsListener | undefined;

  constructor({ config, metrics, reasonsNotReady, reviewReader, onProblem, log }: AgentAdminOptions) {
    const onError = (error: unknown): void => {
      log.error({ error }, 'the admin server failed');
    };
    this.#config = config;
    this.#server = new AdminServer({ metrics, reasonsNotReady, onError });
    const { metrics: address } = config;
    if (address !== undefined)
      this.#listener = new MetricsListener({ address, metrics, review: reviewReader, onProblem, onError });
  }

  /** Takes the agent's own certificates; absent where it needs none. */
  get useCredentials(): ((credentials: Credentials) => void) | undefined {
    return this.#listener?.use;
  }

  async listen(): Promise<void> {
    await this.#server.listen(this.#config.admin.host, this.#config.admin.port);
  }

  async close(): Promise<void> {
    await Promise.all([this.#server.close(), this.#listener?.close()]);
  }
}
