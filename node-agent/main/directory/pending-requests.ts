import type { MessageInitShape } from '@bufbuild/protobuf';
import { create } from '@bufbuild/protobuf';

import type { ConnectRequest } from '../../../control-plane/gen/weft/v1/directory_pb.ts';
import { ConnectRequestSchema } from '../../../control-plane/gen/weft/v1/directory_pb.ts';
import { Wakeup } from '../../../mesh/wakeup.ts';
import type { KnownDestination } from './known-destinations.ts';

/** What the controller is to be told: tables, not a queue, so whatever waits while it reads slowly waits once. */
export class PendingRequests {
  readonly #wakeup = new Wakeup();
  readonly #subscribe = new Set<KnownDestination>();
  readonly #unsubscribe = new Set<KnownDestination>();
  readonly #reports = new Map<string, boolean>();
  #acknowledge = 0;

  /** Forgets what a hello says anyway. */
  clear(): void {
    this.#subscribe.clear();
    this.#unsubscribe.clear();
    this.#reports.clear();
    this.#acknowledge = 0;
  }

  report(uid: string, meshed: boolean): void {
    this.#reports.set(uid, meshed);
    this.#wakeup.call();
  }

  subscribe(destination: KnownDestination): void {
    this.#subscribe.add(destination);
    this.#wakeup.call();
  }

  unsubscribe(destination: KnownDestination): void {
    this.#subscribe.delete(destination);
    this.#unsubscribe.add(destination);
    this.#wakeup.call();
  }

  acknowledge(version: number): void {
    this.#acknowledge = version;
    this.#wakeup.call();
  }

  /** Resolves when there is something, after a while, or at the signal. */
  wait(signal: AbortSignal, timeoutMs: number): Promise<void> {
    return this.#wakeup.wait(signal, timeoutMs);
  }

  *take(): Generator<ConnectRequest> {
    const reports = [...this.#reports];
    const unsubscribe = [...this.#unsubscribe];
    const subscribe = [...this.#subscribe];
    const acknowledge = this.#acknowledge;
    this.clear();
    for (const [uid, meshed] of reports) yield request({ case: 'report', value: { uid, meshed } });
    if (unsubscribe.length > 0) {
      const destinations = unsubscribe.map(({ address, port }) => ({ address, port }));
      yield request({ case: 'unsubscribe', value: { destinations } });
    }
    if (subscribe.length > 0) {
      const subscriptions = subscribe.map(({ address, port }) => ({ address, port }));
      yield request({ case: 'subscribe', value: { subscriptions } });
    }
    if (acknowledge > 0) yield request({ case: 'acknowledge', value: { version: BigInt(acknowledge) } });
  }
}

export function request(
  message: NonNullable<MessageInitShape<typeof ConnectRequestSchema>['message']>,
): ConnectRequest {
  return create(ConnectRequestSchema, { message });
}
