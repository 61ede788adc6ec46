import type { Engine } from '../../native/engine.d.ts';
import type { FusedPath } from './fused-paths.ts';

/** Open connections on fused paths. */
export class FusedConnections {
  readonly #engine: Pick<Engine, 'revoke'>;
  readonly #paths = new Map<number, FusedPath>();

  constructor(engine: Pick<Engine, 'revoke'>) {
    this.#engine = engine;
  }

  opened(connection: number, path: FusedPath): void {
    this.#paths.set(connection, path);
    path.opened();
  }

  /** Any connection of the engine. */
  ended(connection: number): void {
    const path = this.#paths.get(connection);
    if (path === undefined) return;
    this.#paths.delete(connection);
    path.closed();
  }

  revoke(path: FusedPath): void {
    const connections = [];
    for (const [connection, other] of this.#paths) if (other === path) connections.push(connection);
    if (connections.length > 0) this.#engine.revoke(connections);
  }
}
