import type { Direction, MessageToMain } from './messages.ts';

const reportIntervalMs = 100;
const rememberMs = 5000;

interface Arrivals {
  arrivedAt: number;
  reportedAt: number;
  remotePort: number;
}

/**
 * Tells main of the connections that prove an enrolment, and only while main asks: anyone can dial a proof's destination as often as
 * they like. Main's question comes by another channel than the connection, so one that was a little early is remembered.
 */
export class ProofReports {
  readonly #send: (message: MessageToMain) => void;
  readonly #now: () => number;
  readonly #expected = new Set<number>();
  readonly #arrivals = new Map<string, Arrivals>();

  constructor(send: (message: MessageToMain) => void, now = (): number => performance.now()) {
    this.#send = send;
    this.#now = now;
  }

  expect(pod: number): void {
    this.#expected.add(pod);
    for (const direction of ['inbound', 'outbound'] as const) {
      const arrivals = this.#arrivals.get(`${pod} ${direction}`);
      if (arrivals !== undefined && this.#now() - arrivals.arrivedAt <= rememberMs)
        this.#report(pod, direction, arrivals);
    }
  }

  forget(pod: number): void {
    this.#expected.delete(pod);
    this.#arrivals.delete(`${pod} inbound`);
    this.#arrivals.delete(`${pod} outbound`);
  }

  arrived(pod: number, direction: Direction, remotePort: number): void {
    const key = `${pod} ${direction}`;
    const arrivals = this.#arrivals.get(key) ?? { arrivedAt: 0, reportedAt: -Infinity, remotePort };
    arrivals.arrivedAt = this.#now();
    arrivals.remotePort = remotePort;
    this.#arrivals.set(key, arrivals);
    if (this.#expected.has(pod) && this.#now() - arrivals.reportedAt >= reportIntervalMs)
      this.#report(pod, direction, arrivals);
  }

  #report(pod: number, direction: Direction, arrivals: Arrivals): void {
    arrivals.reportedAt = this.#now();
    this.#send({ type: 'proof', pod, direction, remotePort: arrivals.remotePort });
  }
}
