import { Counter, Gauge } from 'prom-client';

import type { AnyRegistry, Registries } from '../admin/registries.ts';
import { createRegistries } from '../admin/registries.ts';
import type { ErrorCode } from '../mesh/errors.ts';

/** What is asked at every scrape. */
export interface ControllerStatus {
  readonly hasStarted: boolean;
  readonly workloads: number;
  /** Agents that are connected. */
  readonly streams: number;
  readonly issuerNotAfter: Date;
}

/** What a controller has done and refused. */
export class ControllerCounts {
  readonly certificates = new Map<'signed' | ErrorCode, number>();
  readonly problems = new Map<ErrorCode, number>();

  readonly certificate = (outcome: 'signed' | ErrorCode): void => {
    this.certificates.set(outcome, (this.certificates.get(outcome) ?? 0) + 1);
  };

  problem(code: ErrorCode): void {
    this.problems.set(code, (this.problems.get(code) ?? 0) + 1);
  }
}

export function reasonsNotReady({ hasStarted, issuerNotAfter }: ControllerStatus, now = Date.now()): string[] {
  const reasons: string[] = [];
  if (!hasStarted) reasons.push('the objects have not been read yet');
  if (issuerNotAfter.getTime() <= now)
    reasons.push(`WEFT-E212 the chain of the issuer expired at ${issuerNotAfter.toISOString()}`);
  return reasons;
}

export function createControllerRegistries(
  counts: ControllerCounts,
  status: () => ControllerStatus,
  registerMore?: (registry: AnyRegistry) => void,
): Registries {
  return createRegistries((registry) => {
    registerMore?.(registry);
    const registers = [registry];
    new Counter({
      name: 'weft_certificates_total',
      help: 'Certificates that were signed, and requests that were refused, by code.',
      labelNames: ['result'],
      registers,
      collect() {
        this.reset();
        for (const [result, count] of counts.certificates) this.inc({ result }, count);
      },
    });
    new Counter({
      name: 'weft_controller_errors_total',
      help: 'Errors that were logged, by code.',
      labelNames: ['code'],
      registers,
      collect() {
        this.reset();
        for (const [code, count] of counts.problems) this.inc({ code }, count);
      },
    });
    new Gauge({
      name: 'issuer_cert_ttl_seconds',
      help: "How long the chain of the issuer is still valid; Linkerd's name.",
      registers,
      collect() {
        this.set((status().issuerNotAfter.getTime() - Date.now()) / 1000);
      },
    });
    new Gauge({
      name: 'weft_directory_streams',
      help: 'Agents that are connected.',
      registers,
      collect() {
        this.set(status().streams);
      },
    });
    new Gauge({
      name: 'weft_workloads',
      help: 'Pods that the controller knows.',
      registers,
      collect() {
        this.set(status().workloads);
      },
    });
  });
}
