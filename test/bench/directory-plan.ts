/** What the processes of the directory's bench agree on. */

export interface Plan {
  readonly agents: number;
  readonly workloads: number;
  readonly podsPerSecond: number;
  readonly seconds: number;
}

export interface Roll {
  readonly changes: number;
}

export const endpointsPerService = 10;
export const destinationsPerAgent = 20;

export const podAddress = (pod: number): string => `10.${1 + (pod >> 16)}.${(pod >> 8) & 255}.${pod & 255}`;
export const serviceAddress = (service: number): string => `10.96.${service >> 8}.${service & 255}`;
export const changedAddress = (change: number): string => `10.200.${change >> 8}.${change & 255}`;

/** Undefined where the address is none of changedAddress. */
export function changeOf(address: string): number | undefined {
  const [, second, third, fourth] = address.split('.').map(Number);
  return second === 200 ? ((third ?? 0) << 8) | (fourth ?? 0) : undefined;
}

/** Spread over all services, the same in every run. */
export function destinationsOf(agent: number, services: number): number[] {
  const count = Math.min(destinationsPerAgent, services);
  return Array.from({ length: count }, (_, index) => (agent * 13 + Math.floor((index * services) / count)) % services);
}

/** Milliseconds on a clock that all processes share. */
export const now = (): number => Number(process.hrtime.bigint()) / 1e6;
